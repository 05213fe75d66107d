import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { BytesPart } from '../../../lib/model/parts.js';
import { openSource, type Source } from '../../../streams/io/source.js';
import { FilePieces } from '../../../streams/io/source-pieces.js';
import {
  closed,
  makeFifo,
  openBelow,
  shell,
  temporaryDirectory,
} from '../../support/process/fs.js';

/** All bytes of a source, whose parts must lie end to end. */
const read = async (t: Test, source: Source, slow = false): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let size = 0;
  let gaps = 0;
  for await (const batch of source as AsyncIterable<BytesPart[]>) {
    for (const part of batch) {
      if (part.kind !== 'bytes' || part.offset !== size || part.bytes.length === 0) gaps++;
      size += part.bytes.length;
      pieces.push(part.bytes);
    }
    if (slow) await sleep(1);
  }
  t.equal(gaps, 0, 'parts lie end to end');
  t.equal(source.bytesRead, size);
  return Buffer.concat(pieces);
};

const fileOf = (t: Test, content: Buffer): string => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, content);
  return file;
};

const fifoOf = (t: Test): string => {
  const fifo = path.join(temporaryDirectory(t), 'fifo');
  makeFifo(fifo);
  return fifo;
};

t.test('a file, of any size and however slow the reader', async t => {
  for (const size of [0, 1, 0x80000, 0x80001, 0x180000, 3_000_000]) {
    const content = randomBytes(size);
    const file = fileOf(t, content);
    for (const slow of [false, true]) {
      const source = openSource(file);
      t.equal(source.size, size || undefined);
      t.ok((await read(t, source, slow)).equals(content), `${size} bytes`);
    }
    t.same(openBelow(file), []);
  }
});

t.test('buffers belong to the receiver', async t => {
  const content = randomBytes(2_000_000);
  const source = openSource(fileOf(t, content));
  const kept: Buffer[] = [];
  for await (const batch of source as AsyncIterable<BytesPart[]>) {
    for (const { bytes } of batch) {
      kept.push(Buffer.from(bytes));
      bytes.fill(0);
    }
  }
  t.ok(Buffer.concat(kept).equals(content));
});

t.test('a file that the system gives no size', async t => {
  const source = openSource('/proc/self/status');
  t.equal(source.size, undefined);
  t.match((await read(t, source)).toString(), /^Name:/);
});

t.test('peeked bytes are read again', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 9 }),
      fc.array(fc.nat(12), { maxLength: 3 }),
      async (bytes, counts) => {
        const content = Buffer.from(bytes);
        const source = openSource(fileOf(t, content));
        for (const count of counts) {
          t.same(await source.peek(count), content.subarray(0, count));
        }
        t.same(await read(t, source), content);
      },
    ),
    { numRuns: 30 },
  );
});

t.test('peeking joins what comes in small pieces', async t => {
  const fifo = fifoOf(t);
  const writer = shell(
    'exec 3> "$1"; for c in a b c d e; do printf $c >&3; sleep 0.02; done',
    fifo,
  );
  const source = openSource(fifo);
  t.equal((await source.peek(4)).toString(), 'abcd');
  t.equal((await read(t, source)).toString(), 'abcde');
  await writer;
  t.same(openBelow(fifo), []);
});

t.test('a FIFO: late writers, silent writers, several writes', async t => {
  const silent = fifoOf(t);
  const quiet = openSource(silent);
  const ended = shell('sleep 0.1; exec 3> "$1"; sleep 0.1', silent);
  t.equal(quiet.size, undefined);
  t.equal((await quiet.peek(4)).length, 0, 'peeking waits for the writer, too');
  t.equal((await read(t, quiet)).length, 0);
  await ended;

  const late = fifoOf(t);
  const source = openSource(late);
  const content = randomBytes(3_000_000);
  const written = sleep(100).then(() => shell('cat "$1" > "$2"', fileOf(t, content), late));
  t.ok((await read(t, source)).equals(content));
  await written;
  t.same(openBelow(late), []);
});

t.test('from a FIFO, a pool takes the bytes of however slow a reader in a few buffers', async t => {
  const content = randomBytes(5_000_001);
  const fifo = fifoOf(t);
  for (const delay of [0, 1, 7]) {
    const writing = fs.promises.writeFile(fifo, content);
    const source = openSource(fifo);
    const head = await source.peek(3);
    t.ok(head.equals(content.subarray(0, 3)));
    const pool = source.usePool();
    const memory = new Set<ArrayBufferLike>();
    const copies: Buffer[] = [];
    let parts = 0;
    for await (const batch of source as AsyncIterable<BytesPart[]>) {
      for (const { bytes } of batch) {
        parts++;
        memory.add(bytes.buffer);
        pool.releaseBefore(bytes);
        if (delay > 0) await sleep(delay);
        copies.push(Buffer.from(bytes)); // nobody has written over them meanwhile
      }
    }
    await writing;
    t.ok(Buffer.concat(copies).equals(content), `${parts} parts, ${memory.size} buffers`);
    t.ok(memory.size < 12, `${memory.size} buffers`);
  }
});

t.test('twenty FIFOs at once, more than there are pool threads', async t => {
  const directory = temporaryDirectory(t);
  const fifos = Array.from({ length: 20 }, (_, i) => path.join(directory, `fifo${i}`));
  makeFifo(...fifos);
  const sources = fifos.map(openSource);
  const reads = sources.map(source => read(t, source));
  t.ok((await fs.promises.stat(directory)).isDirectory(), 'a pool thread is free');
  await shell('for f; do head -c 100000 /dev/zero > "$f" & done; wait', ...fifos);
  for (const bytes of await Promise.all(reads)) t.equal(bytes.length, 100000);
  t.same(openBelow(directory), []);
});

t.test('a source that is given up leaves nothing open', async t => {
  const file = fileOf(t, randomBytes(4_000_000));
  for (const peeked of [0, 4]) {
    const source = openSource(file);
    if (peeked) await source.peek(peeked);
    source.destroy();
    await closed(source);
    t.same(openBelow(file), [], `after ${peeked} bytes`);
  }
  const fifo = fifoOf(t);
  const waiting = openSource(fifo);
  waiting.read();
  await sleep(20);
  waiting.destroy();
  await closed(waiting);
  t.same(openBelow(fifo), [], 'a FIFO that nobody came to write');
});

t.test('when the pipeline fails, the writer of a FIFO is told', async t => {
  const fifo = fifoOf(t);
  const writer = shell('trap "" PIPE; head -c 1000000 /dev/zero 2>&- > "$1" || echo told', fifo);
  const source = openSource(fifo);
  const sink = new Writable({
    objectMode: true,
    write: (_batch, _encoding, done) => done(new Error('full')),
  });
  await t.rejects(pipeline(source, sink), { message: 'full' });
  await closed(source);
  t.equal((await writer).toString(), 'told\n');
  t.same(openBelow(fifo), []);
});

t.test('failures are those of the system, with their place', async t => {
  const directory = temporaryDirectory(t);
  const before = fs.readdirSync('/proc/self/fd').length;
  t.throws(() => openSource(path.join(directory, 'none')), { code: 'ENOENT' });
  t.throws(() => openSource(directory), { code: 'EISDIR', at: { stage: 'source' } });
  // memory that is not mapped: the read itself fails
  const source = openSource('/proc/self/mem');
  await t.rejects(source.peek(4), { code: 'EIO', at: { stage: 'source', path: '/proc/self/mem' } });
  await closed(source);
  t.equal(fs.readdirSync('/proc/self/fd').length, before);
});

t.test('devices', async t => {
  t.equal((await read(t, openSource('/dev/null'))).length, 0);
  const zeros = openSource('/dev/zero');
  t.same(await zeros.peek(4), Buffer.alloc(4));
  zeros.destroy();
  await closed(zeros);
  t.same(openBelow('/dev/zero'), []);
});

t.test('a file that is cut or grows while it is read ends without a gap', async t => {
  const content = randomBytes(4 * 0x80000);
  const file = fileOf(t, content);
  const cut = openSource(file);
  const pieces: Buffer[] = [];
  for await (const batch of cut as AsyncIterable<BytesPart[]>) {
    if (pieces.length === 0) fs.truncateSync(file, 0x80000 * 3 + 5);
    pieces.push(...batch.map(part => part.bytes));
  }
  const got = Buffer.concat(pieces);
  t.ok(got.length >= 0x80000 * 3 + 5);
  t.ok(got.equals(content.subarray(0, got.length)));

  fs.writeFileSync(file, content);
  const fd = fs.openSync(file, 'r');
  const limited = new FilePieces(fd, 0x80000 + 7);
  let size = 0;
  for (let piece = await limited.next(); piece; piece = await limited.next()) size += piece.length;
  await limited.close();
  await limited.close();
  t.equal(size, 0x80000 + 7, 'no more than was asked for');
  t.same(openBelow(file), []);
});

t.test('standard input: pipe, file where it stands, nothing', async t => {
  const module = new URL('../../../streams/io/source.js', import.meta.url).href;
  const script = `
    const { openSource } = await import(${JSON.stringify(module)});
    const source = openSource('-');
    const head = await source.peek(2);
    let size = 0;
    for await (const batch of source) for (const { bytes } of batch) size += bytes.length;
    console.log(head.toString(), size);`;
  const file = fileOf(t, Buffer.from(`ab${'x'.repeat(999_998)}`));
  const run = async (line: string): Promise<string> => {
    const argv = ['-c', line, 'sh', process.execPath, script, file];
    return (await promisify(execFile)('sh', argv)).stdout;
  };
  t.equal(await run('cat "$3" | "$1" --input-type=module -e "$2"'), 'ab 1000000\n');
  t.equal(await run('"$1" --input-type=module -e "$2" < "$3"'), 'ab 1000000\n');
  t.equal(
    await run('{ dd bs=1 count=1 of=/dev/null 2>&-; "$1" --input-type=module -e "$2"; } < "$3"'),
    'bx 999999\n',
    'not from its start',
  );
  t.equal(await run('"$1" --input-type=module -e "$2" < /dev/null'), ' 0\n');
  t.equal(await run('sleep 0.1 | "$1" --input-type=module -e "$2"'), ' 0\n');
});
