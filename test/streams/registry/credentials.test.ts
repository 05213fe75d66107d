import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { authFiles, findCredential } from '../../../streams/registry/credentials.js';
import { temporaryDirectory } from '../../support/process/fs.js';

const { signal } = new AbortController();
const login = (username: string, password: string) => ({ kind: 'password', username, password });
const auths = (host: string, text: string) => ({
  auths: { [host]: { auth: Buffer.from(text).toString('base64') } },
});

t.test('where they are looked for', async t => {
  t.strictSame(authFiles({ HOME: '/h' }), [
    '/h/.config/containers/auth.json',
    '/h/.docker/config.json',
  ]);
  t.strictSame(authFiles({ HOME: '/h', XDG_RUNTIME_DIR: '/run/u', DOCKER_CONFIG: '/d' }), [
    '/run/u/containers/auth.json',
    '/h/.config/containers/auth.json',
    '/d/config.json',
  ]);
  t.strictSame(authFiles({ HOME: '/h', REGISTRY_AUTH_FILE: '/a.json' }), ['/a.json']);
});

t.test('files, in their order', async t => {
  const HOME = temporaryDirectory(t);
  const write = (name: string, value: unknown): void => {
    fs.mkdirSync(path.dirname(path.join(HOME, name)), { recursive: true });
    fs.writeFileSync(path.join(HOME, name), JSON.stringify(value));
  };
  const find = findCredential({ HOME });
  t.equal(await find('a.example', 'app', signal), undefined);
  write('.docker/config.json', auths('a.example', 'docker:x'));
  t.strictSame(await find('a.example', 'app', signal), login('docker', 'x'));
  write('.config/containers/auth.json', auths('a.example', 'podman:y'));
  t.strictSame(await find('a.example', 'app', signal), login('podman', 'y'));
  t.equal(await find('b.example', 'app', signal), undefined);
  const REGISTRY_AUTH_FILE = path.join(HOME, 'none.json');
  await t.rejects(findCredential({ HOME, REGISTRY_AUTH_FILE })('a.example', 'app', signal), {
    code: 'UNSUPPORTED',
    at: { file: REGISTRY_AUTH_FILE },
  });
});

t.test('helpers', async t => {
  const HOME = temporaryDirectory(t);
  const helper = (name: string, script: string): void => {
    fs.writeFileSync(path.join(HOME, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, {
      mode: 0o755,
    });
  };
  const { PATH } = process.env;
  process.env.PATH = `${HOME}:${PATH}`;
  t.teardown(() => (process.env.PATH = PATH));
  helper('good', `read host; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$host\\"}"`);
  helper('empty', `echo credentials not found in native keychain; exit 1`);
  helper('bad', `echo no keyring; exit 1`);
  const REGISTRY_AUTH_FILE = path.join(HOME, 'auth.json');
  const ask = (value: object, host = 'a.example') => {
    fs.writeFileSync(REGISTRY_AUTH_FILE, JSON.stringify(value));
    return findCredential({ REGISTRY_AUTH_FILE })(host, 'app', signal);
  };
  t.strictSame(await ask({ credHelpers: { 'a.example': 'good' } }), login('get', 'a.example'));
  const hub = login('get', 'https://index.docker.io/v1/');
  t.strictSame(await ask({ credsStore: 'good' }, 'docker.io'), hub);
  const both = { ...auths('a.example', 'file:x'), credsStore: 'empty' };
  t.strictSame(await ask(both), login('file', 'x'), 'what it does not know may be in the file');
  t.equal(await ask({ credsStore: 'empty' }), undefined);
  for (const [name, message] of [
    ['bad', 'the credential helper failed'],
    ['missing', 'the credential helper cannot be run'],
  ] as const) {
    const at = { helper: `docker-credential-${name}`, registry: 'a.example' };
    await t.rejects(ask({ credsStore: name }), { code: 'BACKEND', message, at });
  }
});
