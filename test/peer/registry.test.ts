/** A registry that is not ours, Debian's docker-registry: all ways to be let in, and redirects. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createSign, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { buildGo } from '../support/peers/go.js';
import { serve } from '../support/servers/http.js';
import { imageOf } from '../support/images/image-of.js';
import { madeTar } from '../support/tar/layers.js';
import {
  pushBlob,
  startRegistry,
  startS3,
  withoutRegistry,
  type RegistryParts,
} from '../support/servers/storage-servers.js';

const skip = withoutRegistry();
const REPO = 'library/app';
/** Of 'pass'. */
const BCRYPT = '$2b$04$vvTKkJqMRuaeEQ6R4nyfKuKmXM29Rl5Brn7jB6jj/iSNoa1oN57IO';
const AUTH = Buffer.from('user:pass').toString('base64');

const tar = madeTar('debian', { scale: 0.02 });

/** An image, its blobs pushed to a registry for everybody, and what unpacking makes of it. */
const pushed = async (t: Test, storage: object) => {
  const { at, blobs } = await imageOf(t, ['-t', 'tar-rafs'], tar);
  const host = await startRegistry(t, at('.'), { storage });
  for (const bytes of Object.values(blobs)) await pushBlob(host, REPO, bytes);
  const image = ['-B', at('boot'), '-l', 'warn'];
  await succeed(t, ['unpack', ...image, '-D', at('blobs'), '--output', at('due')]);
  const due = fs.readFileSync(at('due'));

  const optionsOf = (registry: string, more: object): string[] => {
    const config = { scheme: 'http', host: registry, repo: REPO, ...more };
    return ['--backend-type', 'registry', '--backend-config', JSON.stringify(config)];
  };
  const unpacks = async (registry: string, more: object = {}): Promise<void> => {
    fs.rmSync(at('out'), { force: true });
    await succeed(t, ['unpack', ...image, ...optionsOf(registry, more), '--output', at('out')]);
    t.ok(fs.readFileSync(at('out')).equals(due), 'the same tar');
  };
  const refuses = async (registry: string, more: object, text: RegExp): Promise<void> => {
    const ran = await cli([
      ...['unpack', ...image, ...optionsOf(registry, more)],
      ...['--output', at('none')],
    ]);
    hasFailed(t, ran, JSON.stringify(more), 1, text);
    t.notMatch(ran.stderr, new RegExp(`${AUTH}|:pass`));
  };
  const another = (parts: RegistryParts): Promise<string> => startRegistry(t, at('.'), parts);
  return { at, host, unpacks, refuses, another };
};

t.test('for everybody, and with a password', { skip }, async t => {
  const storage = { filesystem: { rootdirectory: temporaryDirectory(t) } };
  const { at, host, unpacks, refuses, another } = await pushed(t, storage);
  await unpacks(host);
  await unpacks(host, { auth: AUTH });
  await unpacks(host, { scheme: 'https', skip_verify: true });
  await refuses(host, { repo: 'library/other' }, /answered 404 Not Found/);

  fs.writeFileSync(at('htpasswd'), `user:${BCRYPT}\n`);
  const auth = { htpasswd: { realm: 'here', path: at('htpasswd') } };
  const guarded = await another({ storage, auth });
  await unpacks(guarded, { auth: AUTH });
  await refuses(guarded, {}, /answered 401 Unauthorized/);
  const wrong = Buffer.from('user:wrong').toString('base64');
  await refuses(guarded, { auth: wrong }, /answered 401 Unauthorized/);
});

const lacksOpenssl = spawnSync('openssl', ['version']).status !== 0 && 'needs openssl';

t.test('with tokens', { skip: skip || lacksOpenssl }, async t => {
  const storage = { filesystem: { rootdirectory: temporaryDirectory(t) } };
  const { at, unpacks, refuses, another } = await pushed(t, storage);
  const argv = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test'];
  execFileSync('openssl', [...argv, '-keyout', at('key'), '-out', at('cert')], { stdio: 'ignore' });
  const certificate = fs.readFileSync(at('cert'), 'utf8').replace(/-----[^-]+-----|\s/g, '');

  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  /** A token that lets read, as the registry wants it: a signed JSON Web Token. */
  const tokenFor = (repo: string): string => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      ...{ iss: 'issuer', sub: 'user', aud: 'the registry', jti: randomUUID() },
      ...{ iat: now, nbf: now - 10, exp: now + 300 },
      access: [{ type: 'repository', name: repo, actions: ['pull'] }],
    };
    const text = `${part({ typ: 'JWT', alg: 'RS256', x5c: [certificate] })}.${part(claims)}`;
    const signature = createSign('sha256')
      .update(text)
      .sign(fs.readFileSync(at('key')));
    return `${text}.${signature.toString('base64url')}`;
  };
  const tokens = await serve(t, (request, response) => {
    const { searchParams } = new URL(request.url!, tokens.url);
    const scope = searchParams.get('scope');
    if (request.method !== 'GET') response.writeHead(404).end();
    else if (request.headers.authorization !== `Basic ${AUTH}`) response.writeHead(401).end();
    else if (scope !== `repository:${REPO}:pull`) response.writeHead(400).end();
    else response.end(JSON.stringify({ token: tokenFor(REPO) }));
  });
  const token = {
    ...{ realm: `${tokens.url}/token`, service: 'the registry', issuer: 'issuer' },
    rootcertbundle: at('cert'),
  };
  const guarded = await another({ storage, auth: { token } });
  await unpacks(guarded, { auth: AUTH });
  tokens.asked = [];
  await unpacks(guarded, { registry_token: tokenFor(REPO) });
  t.equal(tokens.asked.length, 0, 'one that is given is used');
  await unpacks(guarded, { registry_token: 'stale', auth: AUTH });
  await refuses(guarded, {}, /token server answered 401/);
});

const { program, missing: withoutS3 } = buildGo('s3-server');

t.test('with its blobs elsewhere', { skip: skip || withoutS3 }, async t => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(path.join(directory, 'empty'));
  const keys = { key: 'AKID', secret: 'secret', bucket: 'registry' };
  const objects = { directory: path.join(directory, 'empty'), prefix: '', ...keys };
  const endpoint = await startS3(t, program!, objects);
  const s3 = {
    ...{ accesskey: keys.key, secretkey: keys.secret, bucket: keys.bucket, region: 'us-east-1' },
    ...{ regionendpoint: `http://${endpoint}`, secure: false, v4auth: true },
  };
  const { at, unpacks, another } = await pushed(t, { s3 });
  fs.writeFileSync(at('htpasswd'), `user:${BCRYPT}\n`);
  const auth = { htpasswd: { realm: 'here', path: at('htpasswd') } };
  const guarded = await another({ storage: { s3 }, auth });
  await unpacks(guarded, { auth: AUTH });

  const [id] = fs.readdirSync(at('blobs'));
  const headers = { authorization: `Basic ${AUTH}` };
  const url = `http://${guarded}/v2/${REPO}/blobs/sha256:${id}`;
  const { status, headers: said } = await fetch(url, { headers, redirect: 'manual' });
  const location = said.get('location') ?? '';
  t.match([status, location], [307, `http://${endpoint}/`], 'it was elsewhere');
  const twice = await fetch(location, { headers });
  t.ok(twice.status >= 400, 'where passwords are refused');
});
