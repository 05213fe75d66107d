import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import t from 'tap';
import type { BytesPart } from '../../lib/parts.js';
import { gunzip } from '../../streams/gunzip.js';
import { gzipMember } from '../support/gzip.js';
import { numbers, randomBytes, wordyBytes } from '../support/random.js';
import { collect, cutAt } from '../support/stage.js';

const run = (source: Buffer, cuts: readonly number[], slow = false, worker = true) =>
  collect<BytesPart, BytesPart>(gunzip({ worker }), cutAt(source, cuts), { slow });

const plainOf = (parts: readonly BytesPart[]): Buffer => Buffer.concat(parts.map(p => p.bytes));

t.test('a worker makes the same as this thread, however slow the reader', async t => {
  const next = numbers(1);
  const plain = Buffer.concat([wordyBytes(500_000, 2), Buffer.alloc(9_000_000), randomBytes(9, 3)]);
  const source = Buffer.concat([
    gzipMember(plain, { name: Buffer.from('n') }),
    zlib.gzipSync(plain),
  ]);
  for (const slow of [false, true]) {
    const cuts = Array.from({ length: 30 }, () => next(source.length));
    const out = await run(source, cuts, slow);
    t.ok(plainOf(out).equals(Buffer.concat([plain, plain])));
    let offset = 0;
    for (const part of out) {
      if (part.offset !== offset) t.fail(`at ${part.offset}, not ${offset}`);
      offset += part.bytes.length;
    }
    t.ok(Math.max(...out.map(part => part.bytes.length)) <= 0x100000);
  }
});

t.test('views of a shared buffer are left alone', async t => {
  const source = zlib.gzipSync('content');
  const pool = Buffer.concat([source, Buffer.from('kept')]);
  const part = { kind: 'bytes', offset: 0, bytes: pool.subarray(0, source.length) } as const;
  const out = await collect<BytesPart, BytesPart>(gunzip({ worker: true }), [part]);
  t.equal(plainOf(out).toString(), 'content');
  t.equal(pool.toString('latin1', source.length), 'kept');
});

t.test('it fails as this thread does', async t => {
  const good = gzipMember(wordyBytes(50_000, 4));
  const damaged = Buffer.from(good);
  damaged[good.length - 8]! ^= 1;
  const sources = { cut: good.subarray(0, 9000), damaged, empty: Buffer.alloc(0) };
  for (const [name, source] of Object.entries(sources)) {
    const cuts = [100, 5000];
    const error = await run(source, cuts, false, false).then(
      () => t.fail(`${name} is accepted`),
      (e: unknown) => e as Error & { at: object },
    );
    if (typeof error === 'boolean') continue;
    const { message, at } = error;
    await t.rejects(run(source, cuts), { code: 'CORRUPT', message, at }, name);
  }
});

t.test('a stage that is given up ends its worker', async t => {
  // the test file's process ends only if the worker does
  const stage = gunzip({ worker: true });
  const source = zlib.gzipSync(Buffer.alloc(50_000_000));
  Readable.from([cutAt(source, [])]).pipe(stage);
  await new Promise(resolve => stage.once('data', resolve));
  const closed = new Promise(resolve => stage.once('close', resolve));
  stage.destroy();
  await closed;
  t.ok(stage.destroyed);
});
