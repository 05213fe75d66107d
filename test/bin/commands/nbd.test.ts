import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { cli, hasFailed, start, succeed } from '../../support/process/cli.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { goldenBlob, goldenPath } from '../../support/images/golden.js';
import { layerTar } from '../../support/tar/layers.js';
import { NbdClient, request } from '../../support/peers/nbd-client.js';

const NAME = 'tar-rafs.kinds.zstd.v6';

const image = (t: Test) => {
  const directory = temporaryDirectory(t);
  const blobs = path.join(directory, 'blobs');
  fs.mkdirSync(blobs);
  const blob = path.join(blobs, path.basename(goldenBlob(NAME)));
  fs.copyFileSync(goldenBlob(NAME), blob);
  const socket = path.join(directory, 'socket');
  const argv = ['nbd', '-B', goldenPath(NAME), '-D', blobs];
  return { directory, blobs, blob, socket, argv };
};

/** The server, when it has said where it listens. */
const running = async (argv: readonly string[]) => {
  const { child, ended } = start(argv);
  const [line] = (await once(child.stdout, 'data')) as [Buffer]; // one line is one write
  return { child, ended, uri: line.toString().trimEnd() };
};

t.test('serves the block image until it is told to stop', async t => {
  const { directory, blobs, socket, argv } = image(t);
  const disk = path.join(directory, 'disk');
  const exporting = ['export', '--block', '-B', goldenPath(NAME), '-D', blobs, '-O', disk];
  await succeed(t, [...exporting, '-l', 'error']);
  const due = fs.readFileSync(disk);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { child, ended, uri } = await running([...argv, '--socket', socket]);
    t.equal(uri, `nbd+unix:///?socket=${socket}`);
    const clients = await Promise.all([1, 2, 3].map(() => NbdClient.connect(socket)));
    for (const client of clients) t.equal(await client.go({ structured: true }), due.length);
    for (const client of clients) client.send(request(0, 0n, due.length));
    for (const client of clients) {
      t.ok((await client.structuredReply(0)).bytes.equals(due));
    }
    child.kill(signal); // with clients that are connected still
    const { exit, stderr } = await ended;
    t.equal(exit, 0);
    t.equal(stderr, '');
    for (const client of clients) t.equal((await client.rest()).length, 0);
    t.notOk(fs.existsSync(socket), 'its socket is gone');
  }
});

for (const type of ['tar-rafs', 'tar-tarfs']) {
  t.test(`an image of several layers, ${type}: a device for all of its blobs`, async t => {
    const directory = temporaryDirectory(t);
    const at = (name: string): string => path.join(directory, name);
    fs.mkdirSync(at('blobs'));
    const ids: string[] = [];
    for (const name of ['layer-0', 'layer-1', 'layer-2']) {
      const [tar, boot] = [at(`${name}.tar`), at(`${name}.boot`)];
      fs.writeFileSync(tar, layerTar(name));
      await succeed(t, ['create', '-t', type, '-B', boot, '-D', at('blobs'), '-l', 'error', tar]);
      if (type === 'tar-tarfs') {
        const id = createHash('sha256').update(layerTar(name)).digest('hex');
        fs.renameSync(tar, at(`blobs/${id}`));
      }
      // merge takes the name of a bootstrap for the id of its blob
      const id = fs.readdirSync(at('blobs')).find(blob => !ids.includes(blob))!;
      fs.renameSync(boot, at(id));
      ids.push(id);
    }
    t.equal(ids.length, 3);
    await succeed(t, ['merge', '-B', at('boot'), ...ids.map(at), '-l', 'error']);
    const source = ['-B', at('boot'), '-D', at('blobs')];
    await succeed(t, ['export', '--block', ...source, '-O', at('disk'), '-l', 'error']);
    const due = fs.readFileSync(at('disk'));

    const { child, ended } = await running(['nbd', ...source, '--socket', at('socket')]);
    const client = await NbdClient.connect(at('socket'));
    t.equal(await client.go({ structured: true }), due.length);
    client.send(request(0, 0n, due.length));
    t.ok((await client.structuredReply(0)).bytes.equals(due), 'all of it at once');
    const piece = 0x5200; // so that some lie across the ends of blobs
    for (let offset = 0; offset < due.length; offset += piece) {
      const size = Math.min(piece, due.length - offset);
      client.send(request(0, BigInt(offset), size));
      const { bytes } = await client.structuredReply(offset);
      if (!bytes.equals(due.subarray(offset, offset + size))) t.fail(`bytes at ${offset}`);
    }
    client.socket.destroy();
    child.kill('SIGTERM');
    t.match(await ended, { exit: 0, stderr: '' });
  });
}

t.test('on a port of this machine', async t => {
  const { argv } = image(t);
  const { child, ended, uri } = await running([...argv, '--port', '0', '--cache-size', '0']);
  const [, port] = /^nbd:\/\/127\.0\.0\.1:(\d+)$/.exec(uri) ?? [];
  const client = new NbdClient(connect({ host: '127.0.0.1', port: Number(port) }));
  t.ok((await client.go({ structured: false })) > 0x80000);
  client.send(request(0, 1024n, 4));
  t.equal((await client.simpleReply(4)).bytes.toString('hex'), 'e2e1f5e0');
  client.socket.destroy();
  child.kill('SIGTERM');
  t.equal((await ended).exit, 0);
});

t.test('a damaged chunk is an error for the client and one line for us', async t => {
  const { blob, socket, argv } = image(t);
  const bytes = fs.readFileSync(blob);
  for (let at = 0; at < 100; at++) bytes[at]! ^= 0xff;
  fs.writeFileSync(blob, bytes);
  const { child, ended } = await running([...argv, '--socket', socket]);
  const client = await NbdClient.connect(socket);
  const size = await client.go({ structured: false });
  let failed = 0;
  for (let at = 0; at < size; at += 4096) {
    client.send(request(0, BigInt(at), 4096), request(0, BigInt(at), 4096));
    const { error } = await client.simpleReply(4096);
    t.equal((await client.simpleReply(4096)).error, error);
    if (error !== 0) {
      t.equal(error, 5);
      failed++;
    }
  }
  t.ok(failed > 0 && failed < size / 4096, `${failed} of ${size / 4096} blocks`);
  client.socket.destroy();
  child.kill('SIGTERM');
  const { exit, stderr } = await ended;
  t.equal(exit, 0);
  t.match(stderr, /ERROR/);
  t.ok(stderr.trimEnd().split('\n').length <= failed, 'not a line for every request');
});

t.test('a blob that is not there, and then is', async t => {
  const { blob, socket, argv } = image(t);
  const bytes = fs.readFileSync(blob);
  fs.unlinkSync(blob);
  const { child, ended } = await running([...argv, '--socket', socket]);
  const client = await NbdClient.connect(socket);
  const size = await client.go({ structured: true });
  const at = size - 4096;
  const read = async (offset: number) => {
    client.send(request(0, BigInt(offset), 4096));
    return client.structuredReply(offset);
  };
  t.equal((await read(0)).error, 0, 'metadata');
  for (let i = 0; i < 3; i++) t.equal((await read(at)).error, 5);
  fs.writeFileSync(blob, bytes);
  t.equal((await read(at)).error, 0);
  client.socket.destroy();
  child.kill('SIGTERM');
  const { exit, stderr } = await ended;
  t.equal(exit, 0);
  const lines = stderr.trimEnd().split('\n');
  t.equal(lines.length, 2, stderr);
  t.match(lines[0], /WARN.*ENOENT/);
  t.match(lines[1], /ERROR.*ENOENT.*blob/);
});

t.test('stopped while it reads for a client, it says nothing', async t => {
  const { socket, argv } = image(t);
  const { child, ended } = await running([...argv, '--socket', socket, '--cache-size', '0']);
  const client = await NbdClient.connect(socket);
  const size = await client.go({ structured: true });
  for (let i = 0; i < 200; i++) client.send(request(0, 0n, size));
  await client.take(size);
  child.kill('SIGINT');
  t.match(await ended, { exit: 0, stderr: '' });
  client.socket.destroy();
});

t.test('what is wrong from the start is one line, and nothing is left', async t => {
  const { blobs, socket, argv } = image(t);
  hasFailed(t, await cli([...argv, '--socket', path.join(blobs, 'no', 's')]), 'no folder', 1);
  hasFailed(t, await cli([...argv, '--socket', `/${'x'.repeat(200)}`]), 'a long path', 1, /107/);
  const v5 = ['nbd', '-B', goldenPath('tar-rafs.kinds.lz4_block.v5'), '-D', blobs];
  hasFailed(t, await cli([...v5, '--socket', socket]), 'v5', 1, /v6/);
  t.notOk(fs.existsSync(socket));
  for (const wrong of [[], ['--socket', socket, '--port', '1'], ['--port', '65536']]) {
    t.equal((await cli([...argv, ...wrong])).exit, 2, wrong.join(' '));
  }
});
