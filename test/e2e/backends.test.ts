/** Commands that read blobs from a storage: what they make is the same as of files. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { NbdError } from '../../lib/layout/nbd.js';
import { cli, hasFailed, start, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { gptDisk } from '../support/images/gpt-disk.js';
import { blobHandler, FAULTS, sendBytes, serve, type Handler } from '../support/servers/http.js';
import { imageOf } from '../support/images/image-of.js';
import { layerTar, madeTar } from '../support/tar/layers.js';
import { NbdClient, request } from '../support/peers/nbd-client.js';
import { buildStack } from '../support/images/stacks.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const optionsOf = (url: string, more: object = {}): string[] => [
  '--backend-type',
  'http-proxy',
  '--backend-config',
  JSON.stringify({ addr: url, timeout: 1, connect_timeout: 1, ...more }),
];

/** The image unpacks to the same tar from a storage as from files. */
const unpacksAlike = async (
  t: Test,
  at: (name: string) => string,
  storage: readonly string[],
): Promise<void> => {
  const tarFrom = async (place: readonly string[], output: string): Promise<Buffer> => {
    await succeed(t, ['unpack', '-B', at('boot'), ...place, '--output', output, '-l', 'warn']);
    return fs.readFileSync(output);
  };
  const due = await tarFrom(['-D', at('blobs')], at('local.tar'));
  t.ok((await tarFrom(storage, at('remote.tar'))).equals(due), 'the same tar');
};

const KINDS: readonly (readonly [string, readonly string[]])[] = [
  ['v6, zstd', ['-t', 'tar-rafs', '--chunk-size', '0x10000']],
  ['v6, with a table of contents', ['-t', 'tar-rafs', '--features', 'blob-toc']],
  ['v6, batches', ['-t', 'tar-rafs', '--batch-size', '0x10000']],
  ['v5, lz4_block', ['-t', 'tar-rafs', '--fs-version', '5', '--compressor', 'lz4_block']],
];

for (const [what, argv] of KINDS) {
  t.test(`unpack, check: ${what}`, async t => {
    const tar = madeTar('debian', { scale: 0.02 });
    const { at, blobs } = await imageOf(t, argv, tar);
    const server = await serve(t, blobHandler(blobs));
    await unpacksAlike(t, at, optionsOf(server.url));
    server.asked = [];
    const { stderr, exit } = await cli(['check', at('boot'), ...optionsOf(server.url)]);
    t.equal(exit, 0);
    t.match(stderr, /verified [1-9][0-9]* chunks, [1-9][0-9]* bytes, in 1 blobs/);
    const size = Object.values(blobs)[0]!.length;
    t.ok(server.asked.length < 10 + size / 100_000, `${server.asked.length} requests`);
  });
}

t.test('a layer that is only referred to: it and its tables are in the storage', async t => {
  const layer = gzipSync(layerTar('kinds'));
  const { at, blobs } = await imageOf(t, ['-t', 'targz-ref'], layer);
  const [tables] = Object.entries(blobs);
  const id = sha256(layer);
  const server = await serve(t, blobHandler({ [id]: layer, [tables![0]]: tables![1] }));
  fs.writeFileSync(at(`blobs/${id}`), layer);
  await unpacksAlike(t, at, optionsOf(server.url));
});

t.test('partitions of a disk', async t => {
  const { at, blobs } = await imageOf(t, ['-t', 'tar-rafs']);
  fs.writeFileSync(
    at('disk'),
    gptDisk(Object.entries(blobs).map(([id, bytes]) => ({ id, bytes }))),
  );
  const options = ['--backend-type', 'localdisk', '--backend-config-file', at('config')];
  fs.writeFileSync(at('config'), JSON.stringify({ device_path: at('disk') }));
  await unpacksAlike(t, at, options);
  await succeed(t, ['check', at('boot'), ...options, '-l', 'warn']);
});

t.test('configuration files', async t => {
  const { at, blobs } = await imageOf(t, ['-t', 'tar-rafs']);
  const server = await serve(t, blobHandler(blobs));
  const toml = (validate: boolean): string =>
    `version = 2\n[backend]\ntype = "http-proxy"\n[backend.http-proxy]\naddr = "${server.url}"\n` +
    `[cache]\nvalidate = ${validate}\n`;
  fs.writeFileSync(at('config.toml'), toml(true));
  const validating = await cli(['check', at('boot'), '-C', at('config.toml')]);
  t.match(validating, { exit: 0, stderr: /verified [1-9][0-9]* chunks/ });
  t.ok(server.asked.length > 1);
  server.asked = [];
  fs.writeFileSync(at('config.toml'), toml(false));
  await succeed(t, ['check', at('boot'), '-C', at('config.toml'), '-l', 'warn']);
  t.equal(server.asked.length, 0, 'nothing is read unless it is to be verified');

  const backend = { type: 'http-proxy', 'http-proxy': { addr: server.url } };
  const config_v2 = { version: 2, id: 'x', backend, metadata_path: at('boot') };
  fs.writeFileSync(at('entry'), JSON.stringify({ type: 'bootstrap', id: 'x', config_v2 }));
  const quiet = ['-l', 'error'];
  await succeed(t, ['export', '--block', '-C', at('entry'), '-O', at('remote.disk'), ...quiet]);
  const local = ['-B', at('boot'), '-D', at('blobs'), '-O', at('disk')];
  await succeed(t, ['export', '--block', ...local, ...quiet]);
  const due = fs.readFileSync(at('disk'));
  t.ok(fs.readFileSync(at('remote.disk')).equals(due));
  const packed = ['--compressor', 'zstd', ...quiet];
  await succeed(t, ['export', '--block', '-C', at('entry'), '-O', at('remote.z'), ...packed]);
  await succeed(t, ['export', '--block', ...local.slice(0, 4), '-O', at('z'), ...packed]);
  t.ok(fs.readFileSync(at('remote.z')).equals(fs.readFileSync(at('z'))));

  for (const place of [['-C', at('config.toml')], optionsOf(server.url)]) {
    const argv = ['nbd', '-B', at('boot'), ...place, '--socket', at('socket')];
    const { child, ended } = start(argv);
    await once(child.stdout, 'data');
    const client = await NbdClient.connect(at('socket'));
    t.equal(await client.go({ structured: true }), due.length);
    client.send(request(0, 0n, due.length));
    t.ok((await client.structuredReply(0)).bytes.equals(due), 'served the same');
    child.kill('SIGTERM');
    t.match(await ended, { exit: 0, stderr: '' });
  }
});

const FILES = ['a', 'b'].map((name, i) => [{ name, size: 20_000, seed: i, deletes: false }]);

t.test('compact, optimize: new blobs are files', async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  for (const name of ['old', 'local', 'remote']) fs.mkdirSync(at(name));
  const layers = FILES.map(files => ({ compressor: 'zstd' as const, files }));
  const image = await buildStack({ fsVersion: 6, layers }, at('old'));
  const old = fs.readdirSync(at('old')).filter(name => /^[0-9a-f]{64}$/.test(name));
  t.equal(old.length, 2);
  const blobs = Object.fromEntries(old.map(id => [id, fs.readFileSync(at(`old/${id}`))]));
  const server = await serve(t, blobHandler(blobs));
  for (const id of old) fs.copyFileSync(at(`old/${id}`), at(`local/${id}`));
  const filesIn = (name: string): Record<string, Buffer> =>
    Object.fromEntries(
      fs
        .readdirSync(at(name))
        .filter(id => !old.includes(id))
        .map(id => [id, fs.readFileSync(at(`${name}/${id}`))]),
    );

  const compact = ['compact', '-B', image, '-l', 'error'];
  await succeed(t, [...compact, '-D', at('local'), '-O', at('local/boot')]);
  const remote = ['-D', at('remote'), '-O', at('remote/boot'), ...optionsOf(server.url)];
  await succeed(t, [...compact, ...remote]);
  t.equal(Object.keys(filesIn('remote')).length, 2, 'a blob and a bootstrap');
  t.strictSame(filesIn('remote'), filesIn('local'));

  fs.writeFileSync(at('list'), JSON.stringify({ version: 'v1', files: [{ path: '/a' }] }));
  const optimize = ['optimize', '-B', image, '-p', at('list'), '-l', 'error'];
  for (const name of ['local', 'remote']) {
    fs.mkdirSync(at(`${name}/new`));
    const from = name === 'local' ? ['-D', at('old')] : optionsOf(server.url);
    const to = ['--output-blob-dir', at(`${name}/new`), '-O', at(`${name}/new/boot`)];
    await succeed(t, [...optimize, ...from, ...to]);
  }
  t.equal(Object.keys(filesIn('remote/new')).length, 2);
  t.strictSame(filesIn('remote/new'), filesIn('local/new'));
});

t.test('what servers do instead', async t => {
  const { at, blobs } = await imageOf(t, ['-t', 'tar-rafs']);
  const [[id, bytes]] = Object.entries(blobs) as [[string, Buffer]];
  const faulty = async (what: string, handler: Handler, text: RegExp): Promise<void> => {
    const server = await serve(t, (request, response) => {
      if (request.method === 'HEAD') sendBytes(request, response, bytes);
      else handler(request, response);
    });
    const url = server.url.replace('//', '//user:very-secret@');
    const out = at(`out-${what}`);
    const remote = ['-B', at('boot'), ...optionsOf(url), '--output', out];
    const ran = await cli(['unpack', ...remote, '-l', 'error']);
    hasFailed(t, ran, what, 1, text);
    t.match(ran.stderr, `blob ${id}`, 'which blob');
    t.match(ran.stderr, `url ${server.url}/${id}`, 'and where');
    t.notMatch(ran.stderr, /very-secret/);
    t.notOk(fs.existsSync(out), 'nothing half-made');
  };
  await Promise.all(FAULTS.map(({ what, handler, text }) => faulty(what, handler, text)));

  const wrong = Buffer.from(bytes);
  wrong[100]! ^= 1;
  const server = await serve(t, blobHandler({ [id]: wrong }));
  const remote = ['-B', at('boot'), ...optionsOf(server.url), '-l', 'error'];
  hasFailed(t, await cli(['unpack', ...remote, '--output', at('x')]), 'another byte', 1, /blob/);
  t.notOk(fs.existsSync(at('x')));
  const none = await serve(t, blobHandler({}));
  for (const argv of [
    ['unpack', '-B', at('boot'), '--output', at('x')],
    ['check', at('boot')],
    ['compact', '-B', at('boot'), '-D', at('blobs'), '--min-used-ratio', '99'],
  ]) {
    const ran = await cli([...argv, ...optionsOf(none.url), '-l', 'error']);
    if (argv[0] !== 'compact') hasFailed(t, ran, argv[0]!, 1, /answers 404 Not Found/);
    else t.equal(ran.exit, 0, 'a blob of which all is used stays where it is');
  }

  // it may come later: a server goes on, and reads of it fail
  const argv = ['nbd', '-B', at('boot'), ...optionsOf(none.url), '--socket', at('socket')];
  const { child, ended } = start([...argv, '-l', 'warn']);
  await once(child.stdout, 'data');
  const client = await NbdClient.connect(at('socket'));
  const size = await client.go({ structured: true });
  client.send(request(0, BigInt(size - 4096), 4096));
  t.equal((await client.structuredReply(size - 4096)).error, NbdError.EIO);
  child.kill('SIGTERM');
  const served = await ended;
  t.equal(served.exit, 0);
  t.equal(served.stderr.match(/answers 404 Not Found/g)?.length, 2, 'at the start, and once more');
});

t.test('options that do not go together', async t => {
  const boot = ['-B', '/none'];
  for (const argv of [
    ['check', '-D', 'x', ...boot],
    ['nbd', '-D', 'x', '--port', '0', ...boot],
    ['nbd', '-C', 'x', '--port', '0', ...boot],
    ['unpack', '--blob', 'x', '--output', 'x', ...boot],
  ]) {
    const ran = await cli([...argv, ...optionsOf('http://localhost')]);
    t.match(ran, { exit: 2, stderr: /cannot be used with/ }, argv.join(' '));
  }
});
