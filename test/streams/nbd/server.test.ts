import fc from 'fast-check';
import { once } from 'node:events';
import fs from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { BlockDevice } from '../../../streams/device/block-reader.js';
import { nbdServer } from '../../../streams/nbd/server.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { nameData, NbdClient, option, request } from '../../support/peers/nbd-client.js';
import { numbers } from '../../support/random.js';

const [EPERM, EIO, EINVAL] = [1, 5, 22];
const [READ, WRITE, DISC, FLUSH, TRIM, WRITE_ZEROES, BLOCK_STATUS] = [0, 1, 2, 3, 4, 6, 7];

const BYTES = Buffer.alloc(3_000_000);
const next = numbers(1);
for (let i = 0; i < BYTES.length; i++) BYTES[i] = next(256);

/** From here on the device cannot be read. */
const BAD_FROM = 2_900_000;

const memory: BlockDevice = {
  size: BYTES.length,
  async read(offset, size) {
    if (offset + size > BAD_FROM) throw new RafsError('MISMATCH', 'is not what it was');
    return Buffer.from(BYTES.subarray(offset, offset + size));
  },
  extents: (_, size) => [{ size, hole: false }],
};

/** A server on a socket of its own, and what it was told of. */
const started = async (t: Test, device: BlockDevice = memory) => {
  const socket = path.join(temporaryDirectory(t), 'socket');
  const told = { read: [] as unknown[], client: [] as unknown[] };
  const server = nbdServer({
    device,
    blockSize: 4096,
    onReadError: error => told.read.push(error),
    onClientError: error => told.client.push(error),
  });
  const uri = await server.listen({ socket });
  t.teardown(() => server.close());
  /** Whoever comes is served still. */
  const serves = async (what: string): Promise<void> => {
    const client = await NbdClient.connect(socket);
    t.equal(await client.go({ structured: true }), device.size, what);
    client.send(request(READ, 5n, 1000), request(DISC, 0n, 0));
    t.ok((await client.structuredReply(5)).bytes.equals(BYTES.subarray(5, 1005)), what);
    t.equal((await client.rest()).length, 0, `${what}: ends`);
    client.socket.destroy();
  };
  return { server, socket, told, uri, serves };
};

for (const structured of [false, true]) {
  const reply = (client: NbdClient, offset: number, length: number) =>
    structured ? client.structuredReply(offset) : client.simpleReply(length);

  t.test(`reads, structured ${structured}`, async t => {
    const { socket, told } = await started(t);
    const client = await NbdClient.connect(socket);
    t.equal(await client.go({ structured }), BYTES.length);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(BAD_FROM - 1), fc.integer({ min: 1, max: 2_500_000 })), {
          maxLength: 4,
        }),
        async ranges => {
          const wanted = ranges.map(([offset, most]) => ({
            offset,
            length: Math.min(most, BAD_FROM - offset),
          }));
          // all at once; the replies come in the same order
          client.send(...wanted.map(({ offset, length }) => request(READ, BigInt(offset), length)));
          for (const { offset, length } of wanted) {
            const { error, bytes } = await reply(client, offset, length);
            t.equal(error, 0);
            t.ok(bytes.equals(BYTES.subarray(offset, offset + length)));
          }
        },
      ),
      { numRuns: 20 },
    );
    client.socket.destroy();
    t.same(told.read, []);
  });

  t.test(`what cannot be is refused, and the next request answered: ${structured}`, async t => {
    const { socket, told } = await started(t);
    const client = await NbdClient.connect(socket);
    await client.go({ structured });
    const end = BigInt(BYTES.length);
    const requests: [name: string, bytes: Buffer, error: number][] = [
      ['past the end', request(READ, end - 10n, 11), EINVAL],
      ['behind the end', request(READ, end, 1), EINVAL],
      ['far behind', request(READ, 2n ** 64n - 1n, 0xffff_ffff), EINVAL],
      ['beyond 2^53', request(READ, 2n ** 53n, 512), EINVAL],
      ['too much', request(READ, 0n, 0x200_0001), EINVAL],
      ['nothing', request(READ, 0n, 0), EINVAL],
      ['unknown flags', request(READ, 0n, 1, 0x4), EINVAL],
      ['damaged', request(READ, BigInt(BAD_FROM), 1), EIO],
    ];
    for (const [name, bytes, error] of requests) {
      client.send(bytes);
      t.equal((await reply(client, 0, 0)).error, error, name);
    }
    const others: [name: string, bytes: Buffer, error: number][] = [
      ['write', Buffer.concat([request(WRITE, 0n, 300_000), Buffer.alloc(300_000, 1)]), EPERM],
      ['write of nothing', request(WRITE, 0n, 0), EPERM],
      ['trim', request(TRIM, 0n, 512), EPERM],
      ['write zeroes', request(WRITE_ZEROES, 0n, 512), EPERM],
      ['flush', request(FLUSH, 0n, 0), EINVAL],
      ['block status', request(BLOCK_STATUS, 0n, 512), EINVAL],
      ['unknown', request(77, 0n, 512), EINVAL],
    ];
    for (const [name, bytes, error] of others) {
      client.send(bytes);
      t.equal((await client.simpleReply(0)).error, error, name);
    }
    client.send(request(READ, 1n, 7));
    t.ok((await reply(client, 1, 7)).bytes.equals(BYTES.subarray(1, 8)));
    client.send(request(DISC, 0n, 0));
    t.equal((await client.rest()).length, 0);
    client.socket.destroy();
    t.match(told.read, [{ code: 'MISMATCH' }]);
    t.same(told.client, []);
  });
}

t.test('a read that fails in its middle', async t => {
  const { socket } = await started(t);
  const at = BAD_FROM - 1_500_000;
  const ask = request(READ, BigInt(at), 1_500_100);
  const structured = await NbdClient.connect(socket);
  await structured.go({ structured: true });
  structured.send(ask);
  const { error, bytes } = await structured.structuredReply(at);
  t.equal(error, EIO);
  t.ok(bytes.length > 0 && bytes.equals(BYTES.subarray(at, at + bytes.length)));
  structured.socket.destroy();
  const simple = await NbdClient.connect(socket);
  await simple.go({ structured: false });
  simple.send(ask);
  t.ok((await simple.rest()).length < 16 + 1_500_100, 'the server leaves instead');
});

t.test('the handshake, option by option', async t => {
  const { socket, serves, told } = await started(t);
  const client = await NbdClient.connect(socket);
  t.equal((await client.take(18)).readUInt16BE(16), 3, 'fixed newstyle, no zeroes');
  client.send(Buffer.from([0, 0, 0, 3]));
  const types = async (bytes: Buffer): Promise<number[]> => {
    client.send(bytes);
    const found = [];
    for (;;) {
      const { type } = await client.optionReply();
      found.push(type);
      if (type === 1 || type > 0x8000_0000) return found;
    }
  };
  const [UNSUP, INVALID, UNKNOWN] = [0x8000_0001, 0x8000_0003, 0x8000_0006];
  t.same(await types(option(3)), [2, 1], 'LIST');
  t.same(await types(option(3, Buffer.from('x'))), [INVALID], 'LIST of something');
  t.same(await types(option(6, nameData(''))), [3, 3, 1], 'INFO');
  t.same(await types(option(6, nameData('x'))), [UNKNOWN], 'INFO of another');
  t.same(await types(option(7, nameData('x'))), [UNKNOWN], 'GO to another');
  t.same(await types(option(7, Buffer.from('ffffffff0000', 'hex'))), [INVALID], 'GO nowhere');
  t.same(await types(option(8, Buffer.from('x'))), [INVALID], 'STRUCTURED_REPLY of something');
  for (const number of [0, 4, 5, 11, 0xffff_ffff]) {
    t.same(await types(option(number, Buffer.alloc(100))), [UNSUP], `option ${number}`);
  }
  client.send(option(2));
  t.equal((await client.optionReply()).type, 1, 'ABORT');
  t.equal((await client.rest()).length, 0, 'and the server leaves');
  client.socket.destroy();

  for (const [flags, size] of [
    [3, 10],
    [1, 10 + 124],
    [0, 10 + 124],
  ] as const) {
    const old = await NbdClient.connect(socket);
    await old.take(18);
    old.send(Buffer.from([0, 0, 0, flags]), option(1));
    const facts = await old.take(size);
    t.equal(Number(facts.readBigUInt64BE(0)), BYTES.length);
    t.equal(facts.readUInt16BE(8), 0x103);
    old.send(request(READ, 0n, 10));
    t.ok((await old.simpleReply(10)).bytes.equals(BYTES.subarray(0, 10)), 'simple replies then');
    old.socket.destroy();
  }
  t.same(told.client, []);
  const other = await NbdClient.connect(socket);
  await other.take(18);
  other.send(Buffer.from([0, 0, 0, 3]), option(1, Buffer.from('another')));
  t.equal((await other.rest()).length, 0, 'EXPORT_NAME of another');
  await serves('after all that');
  t.match(told.client, [{ code: 'UNSUPPORTED' }]);
});

t.test('garbage ends its own connection and nothing else', async t => {
  const { socket, serves, told } = await started(t);
  const hello = Buffer.from([0, 0, 0, 3]);
  const go = Buffer.concat([hello, option(8), option(7, nameData(''))]);
  const huge = option(99);
  huge.writeUInt32BE(0xffff_ffff, 12);
  for (const [name, bytes] of [
    ['no protocol at all', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['unknown client flags', Buffer.from([0, 0, 1, 3])],
    ['another magic of options', Buffer.concat([hello, Buffer.alloc(16, 'x')])],
    ['an option of 4 GiB', Buffer.concat([hello, huge])],
    ['another magic of requests', Buffer.concat([go, Buffer.alloc(28, 'x')])],
  ] as const) {
    const before = told.client.length;
    const client = await NbdClient.connect(socket);
    client.send(bytes);
    await client.rest();
    client.socket.destroy();
    t.equal(told.client.length, before + 1, name);
    t.match(told.client.at(-1), { name: 'RafsError' }, name);
    await serves(name);
  }
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(Buffer.alloc(0), hello, go),
      async (garbage, before) => {
        const client = await NbdClient.connect(socket);
        client.send(before, Buffer.from(garbage));
        client.socket.end();
        await client.rest();
        client.socket.destroy();
      },
    ),
    { numRuns: 60 },
  );
  for (const error of told.client) t.match(error, { name: 'RafsError' });
  await serves('after random bytes');
});

t.test('a client that goes away, anywhere', async t => {
  const { socket, serves } = await started(t);
  const talk = Buffer.concat([
    Buffer.from([0, 0, 0, 3]),
    option(8),
    option(7, nameData('')),
    request(READ, 0n, 2_000_000),
    request(WRITE, 0n, 0xffff_ffff),
    Buffer.alloc(100_000),
  ]);
  for (let size = 0; size < 140; size += 7) {
    const client = await NbdClient.connect(socket);
    client.send(talk.subarray(0, size));
    client.socket.destroy();
  }
  const middle = await NbdClient.connect(socket);
  middle.send(talk);
  await middle.take(500_000); // in the middle of a reply
  middle.socket.destroy();
  await serves('after them');

  const server = nbdServer({
    device: memory,
    blockSize: 4096,
    onReadError: () => undefined,
    onClientError: error => t.fail(String(error)),
  });
  const port = Number((await server.listen({ port: 0 })).split(':').at(-1));
  t.teardown(() => server.close());
  for (const size of [0, 100, talk.length]) {
    const rude = new NbdClient(connect({ host: '127.0.0.1', port }));
    rude.send(talk.subarray(0, size));
    await rude.take(18);
    rude.socket.resetAndDestroy();
  }
  const last = new NbdClient(connect({ host: '127.0.0.1', port }));
  t.equal(await last.go({ structured: true }), BYTES.length, 'after resets');
  last.socket.destroy();
});

t.test('one that ends its side first gets its replies', async t => {
  const { socket } = await started(t);
  const client = await NbdClient.connect(socket);
  await client.go({ structured: true });
  client.send(request(READ, 0n, 2_500_000));
  client.socket.end();
  t.ok((await client.structuredReply(0)).bytes.equals(BYTES.subarray(0, 2_500_000)));
  t.equal((await client.rest()).length, 0);
});

t.test('one that does not read is not read for: others go on', async t => {
  const asked: number[] = [];
  const device: BlockDevice = {
    size: 2 ** 40,
    async read(offset, size) {
      asked.push(offset);
      return Buffer.alloc(size);
    },
    extents: (_, size) => [{ size, hole: true }],
  };
  const { socket } = await started(t, device);
  const slow = await NbdClient.connect(socket);
  await slow.go({ structured: true });
  for (let i = 0; i < 64; i++) slow.send(request(READ, BigInt(i) * 2n ** 25n, 2 ** 25));
  const quick = await NbdClient.connect(socket);
  await quick.go({ structured: false });
  for (let i = 0; i < 20; i++) {
    quick.send(request(READ, 2n ** 39n, 2 ** 20));
    t.equal((await quick.simpleReply(2 ** 20)).bytes.length, 2 ** 20);
  }
  const forSlow = asked.filter(offset => offset < 2 ** 39).length;
  t.ok(forSlow < 32, `${forSlow} pieces of 1 MiB, of 2048`);
  slow.socket.destroy();
  quick.socket.destroy();
});

t.test('no more than 64 clients, and then again one', async t => {
  const { socket, serves } = await started(t);
  const clients = [];
  for (let i = 0; i < 64; i++) {
    const client = await NbdClient.connect(socket);
    await client.take(18);
    clients.push(client);
  }
  const more = await NbdClient.connect(socket);
  t.equal((await more.rest()).length, 0, 'sent away');
  for (const client of clients) client.socket.destroy();
  // they are gone when the server sees it
  for (let i = 0; i < 200; i++) {
    const client = await NbdClient.connect(socket);
    const greeting = await client.take(18).catch(() => undefined);
    client.socket.destroy();
    if (greeting) break;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  await serves('afterwards');
});

t.test('closing ends clients and takes the socket away', async t => {
  const { server, socket, uri } = await started(t);
  t.equal(uri, `nbd+unix:///?socket=${socket}`);
  const client = await NbdClient.connect(socket);
  await client.go({ structured: true });
  client.send(request(READ, 0n, 2_500_000)); // in the middle of it
  await client.take(100);
  await server.close();
  await client.rest();
  t.notOk(fs.existsSync(socket));
});

t.test('places to listen', async t => {
  const directory = temporaryDirectory(t);
  const make = () =>
    nbdServer({
      device: memory,
      blockSize: 4096,
      onReadError: () => undefined,
      onClientError: () => undefined,
    });
  const server = make();
  const uri = await server.listen({ port: 0 });
  t.match(uri, /^nbd:\/\/127\.0\.0\.1:\d+$/);
  const port = Number(uri.split(':').at(-1));
  const second = make();
  await t.rejects(second.listen({ port }), { code: 'EADDRINUSE' });
  await second.close();
  await server.close();

  const socket = path.join(directory, 'a & b');
  const first = make();
  t.equal(await first.listen({ socket }), `nbd+unix:///?socket=${directory}/a%20%26%20b`);
  await t.rejects(make().listen({ socket }), { code: 'EADDRINUSE' }, 'one that answers');
  const client = await NbdClient.connect(socket);
  t.equal(await client.go({ structured: true }), BYTES.length, 'and goes on');
  client.socket.destroy();
  await first.close();

  // what a server that was killed leaves
  const left = path.join(directory, 'left');
  const dead = createServer().listen(path.join(directory, 'dead'));
  await once(dead, 'listening');
  fs.linkSync(path.join(directory, 'dead'), left);
  await new Promise(resolve => dead.close(resolve));
  t.ok(fs.existsSync(left));
  const next = make();
  await next.listen({ socket: left });
  await next.close();

  const file = path.join(directory, 'file');
  fs.writeFileSync(file, 'mine');
  await t.rejects(make().listen({ socket: file }), { code: 'EADDRINUSE' });
  t.equal(fs.readFileSync(file, 'utf8'), 'mine', 'a file is not taken away');
  const long = path.join(directory, 'x'.repeat(108));
  await t.rejects(make().listen({ socket: long }), { code: 'LIMIT' });
  const nowhere = path.join(directory, 'no', 'socket');
  await t.rejects(make().listen({ socket: nowhere }), { code: /^(ENOENT|EACCES)$/ });
});

/** An option for contexts, with its queries. */
const contexts = (number: number, name: string, ...queries: string[]): Buffer => {
  const sized = (text: string): Buffer => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(Buffer.byteLength(text));
    return Buffer.concat([size, Buffer.from(text)]);
  };
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length);
  return option(number, Buffer.concat([sized(name), count, ...queries.map(sized)]));
};

t.test('block status is told to those who have asked for its context', async t => {
  const { socket } = await started(t, {
    ...memory,
    extents: (offset, size) => [
      { size: Math.min(size, 512), hole: offset === 0 },
      ...(size > 512 ? [{ size: size - 512, hole: offset !== 0 }] : []),
    ],
  });
  const [LIST, SET, BLOCK_STATUS, REQ_ONE] = [9, 10, 7, 8];
  const client = await NbdClient.connect(socket);
  await client.take(18);
  client.send(Buffer.from('00000003', 'hex'));
  const typesOf = async (sent: Buffer): Promise<number[]> => {
    client.send(sent);
    const types: number[] = [];
    for (;;) {
      const { type, data } = await client.optionReply();
      types.push(type);
      if (type !== 4) return types;
      t.equal(data.toString('latin1', 4), 'base:allocation');
    }
  };
  const INVALID = 0x80000003;
  t.same(await typesOf(contexts(SET, '', 'base:allocation')), [INVALID], 'not without structure');
  t.same(await typesOf(option(8)), [1]);
  t.same(await typesOf(contexts(LIST, '')), [4, 1], 'all there are');
  t.same(await typesOf(contexts(LIST, '', 'base:')), [4, 1]);
  t.same(await typesOf(contexts(LIST, '', 'qemu:')), [1]);
  t.same(await typesOf(contexts(LIST, 'other')), [0x80000006], 'no such export');
  t.same(await typesOf(option(SET, Buffer.from('00000009', 'hex'))), [INVALID], 'cut');
  t.same(await typesOf(contexts(SET, '', 'base:', 'qemu:x')), [1], 'nothing exactly');
  t.same(await typesOf(contexts(SET, '', 'qemu:x', 'base:allocation')), [4, 1]);
  client.send(option(7, nameData('')));
  while ((await client.optionReply()).type !== 1);
  const statusOf = async (sent: Buffer): Promise<string> => {
    client.send(sent);
    const head = await client.take(20);
    return `${head.readUInt16BE(6)} ${(await client.take(head.readUInt32BE(16))).toString('hex')}`;
  };
  const [hole, data] = ['00000003', '00000000'];
  t.equal(
    await statusOf(request(BLOCK_STATUS, 0n, 1024)),
    `5 0000000100000200${hole}00000200${data}`,
  );
  t.equal(await statusOf(request(BLOCK_STATUS, 512n, 100)), `5 0000000100000064${data}`);
  t.equal(await statusOf(request(BLOCK_STATUS, 0n, 1024, REQ_ONE)), `5 0000000100000200${hole}`);
  for (const wrong of [
    request(BLOCK_STATUS, 0n, 0),
    request(BLOCK_STATUS, 0n, 0xffffffff),
    request(BLOCK_STATUS, 2n ** 64n - 1n, 512),
    request(BLOCK_STATUS, 0n, 512, 1),
  ]) {
    t.match(await statusOf(wrong), /^32769 00000016/, 'EINVAL');
  }
  const other = await NbdClient.connect(socket);
  await other.go({ structured: true });
  other.send(request(BLOCK_STATUS, 0n, 512));
  t.equal((await other.take(16)).readUInt32BE(4), 22, 'EINVAL for one that has not asked');
});
