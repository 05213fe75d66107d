import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { ChunkDict } from '../../../lib/image/chunk-dict.js';
import { ChunkDeduper } from '../../../lib/image/chunk-deduper.js';
import { compress, prepareCompressors } from '../../../lib/compress/compressors.js';
import type { Compressor } from '../../../lib/layout/compressors.js';
import type { ChunkBatchPart, ChunkPart, EndPart, EntryPart } from '../../../lib/model/parts.js';
import type { NamedChunk, PackedChunk } from '../../../lib/model/chunk.js';
import { compressor } from '../../../streams/build/compressor.js';
import { threadPool } from '../../../streams/threads/thread-pool.js';
import { digester } from '../../../streams/build/digester.js';
import { blobInfo, placedChunk } from '../../support/images/chunks.js';
import { entryOf } from '../../support/images/entries.js';
import { randomBytes, wordyBytes } from '../../support/random.js';
import { collect } from '../../support/stream/stage.js';

type In = EntryPart | ChunkPart<NamedChunk> | EndPart;
type Out = EntryPart | ChunkPart<PackedChunk> | EndPart;

const { exact } = await prepareCompressors();
const NO_BYTES = Buffer.alloc(0);

const named = (uniqueIndex: number, bytes: Buffer, known = false): ChunkPart<NamedChunk> => ({
  kind: 'chunk',
  chunk: {
    fileOffset: 0,
    uncompressedSize: bytes.length,
    digest: createHash('sha256').update(bytes).digest(),
    crc32: uniqueIndex,
    uniqueIndex,
    known,
  },
  bytes: known ? Buffer.alloc(0) : bytes,
});

/** What must come out: a plain loop over the parts. */
const loop = (algorithm: Compressor, parts: readonly In[]): Out[] =>
  parts.map(part => {
    if (part.kind !== 'chunk') return part;
    const packed = part.chunk.known ? undefined : compress(algorithm, part.bytes);
    return {
      kind: 'chunk',
      chunk: { ...part.chunk, compressed: packed !== undefined },
      bytes: packed ?? part.bytes,
    };
  });

/** Parts for one run: a stage may keep or clear the bytes of those it is given. */
const fresh = (parts: readonly In[]): In[] =>
  parts.map(part => (part.kind === 'chunk' ? { ...part, bytes: Buffer.from(part.bytes) } : part));

/** The first difference of two runs, since to compare megabytes part by part takes its time. */
const difference = (out: readonly Out[], due: readonly Out[]): string | undefined => {
  if (out.length !== due.length) return `${out.length} parts of ${due.length}`;
  for (const [i, part] of out.entries()) {
    const wanted = due[i]!;
    if (part.kind !== 'chunk' || wanted.kind !== 'chunk') {
      if (part !== wanted) return `part ${i} is ${part.kind}`;
      continue;
    }
    if (JSON.stringify(part.chunk) !== JSON.stringify(wanted.chunk)) return `facts of part ${i}`;
    if (!part.bytes.equals(wanted.bytes)) return `bytes of part ${i}`;
  }
  return undefined;
};

/** Files of many kinds of chunks; with few parts, less than a slab, and with many, dozens of them. */
const layer = (files: number, seed: number): In[] => {
  const parts: In[] = [];
  let uniqueIndex = 0;
  for (let i = 0; i < files; i++) {
    parts.push({ kind: 'entry', entry: entryOf('file', `f${i}`) });
    const n = (i * 31 + seed) % 11;
    if (n < 4) parts.push(named(uniqueIndex++, wordyBytes(1 + ((i * 977) % 5000), i)));
    else if (n === 4) parts.push(named(uniqueIndex++, randomBytes(1 + ((i * 977) % 70_000), i)));
    else if (n === 5)
      parts.push(
        named(uniqueIndex++, wordyBytes(0x10000, i)),
        named(uniqueIndex++, wordyBytes(77, i)),
      );
    else if (n === 6) parts.push(named(uniqueIndex++, Buffer.alloc(0)));
    else if (n === 7) parts.push(named(Math.floor(uniqueIndex / 2), wordyBytes(99, i), true));
    else if (n === 8) parts.push(named(uniqueIndex++, Buffer.alloc(0x10000)));
    parts.push({ kind: 'end' });
  }
  return parts;
};

for (const algorithm of ['zstd', 'lz4_block', 'none'] as const) {
  t.test(`${algorithm}: any number of workers gives what a plain loop gives`, async t => {
    for (const files of [0, 1, 40, 250]) {
      const parts = layer(files, files);
      const due = loop(algorithm, parts);
      for (const [workers, batch, slow] of [
        [0, 7, false],
        [1, 1, true],
        [2, 1, false],
        [2, 13, true],
        [2, 1000, false],
        [5, 100, false],
      ] as const) {
        if (algorithm === 'none' && workers > 2) continue;
        const stage = await compressor({ compressor: algorithm, chunkSize: 0x10000, workers });
        const out = await collect<In, Out>(stage, fresh(parts), { batch, slow });
        t.equal(
          difference(out, due),
          undefined,
          `${files} files, ${workers} workers, batches of ${batch}`,
        );
      }
    }
  });
}

t.test('random runs of chunks', async () => {
  const chunk = fc.record({
    size: fc.oneof(fc.nat(3000), fc.constantFrom(0, 1, 0x8000, 0x10000)),
    noise: fc.boolean(),
    known: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { maxLength: 120, size: 'max' }),
      fc.constantFrom(1, 2, 5),
      fc.integer({ min: 1, max: 50 }),
      fc.boolean(),
      async (chunks, workers, batch, slow) => {
        const parts = chunks.map(({ size, noise, known }, i) =>
          named(i, noise ? randomBytes(size, i) : wordyBytes(size, i), known),
        );
        const stage = await compressor({ compressor: 'lz4_block', chunkSize: 0x10000, workers });
        const wrong = difference(
          await collect<In, Out>(stage, fresh(parts), { batch, slow }),
          loop('lz4_block', parts),
        );
        if (wrong) throw new Error(wrong);
      },
    ),
    { numRuns: 25 },
  );
});

t.test('chunks that come without names get those that a digester gives them', async t => {
  // digests of the dictionary: of two that the layer has, one of which has another size there, so
  // that it seems to be known and is not
  const dictOf = (chunks: readonly Buffer[]): ChunkDict => {
    const dict = new ChunkDict([blobInfo()]);
    for (const [index, bytes] of [chunks[3]!, chunks[20]!].entries()) {
      const uncompressedSize = bytes.length + index;
      const digest = createHash('sha256').update(bytes).digest();
      dict.add({ ...placedChunk(index, { digest, uncompressedSize }), encrypted: false });
    }
    return dict;
  };
  for (const files of [1, 30, 600]) {
    const contents = Array.from({ length: files }, (_, i) => {
      // each third is there before: soon after it, or long after
      const seed = i % 3 ? i : i % 2 ? Math.max(0, i - 2) : i >> 1;
      const size = 1 + ((seed * 7919) % 0x10000);
      return seed % 5 ? wordyBytes(size, seed) : randomBytes(size, seed);
    });
    const unnamed = (): (EntryPart | ChunkPart | EndPart)[] =>
      contents.flatMap((bytes, i) => [
        { kind: 'entry', entry: entryOf('file', `f${i}`) },
        {
          kind: 'chunk',
          chunk: { fileOffset: 0, uncompressedSize: bytes.length },
          bytes: Buffer.from(bytes),
        },
        { kind: 'end' },
      ]);
    const facts = (out: readonly Out[]): unknown[] =>
      out.map(part => {
        if (part.kind !== 'chunk') return part.kind;
        const { digest, crc32, uniqueIndex, known, dictRow, compressed } = part.chunk;
        const bytes = createHash('sha256').update(part.bytes).digest('hex');
        return [digest.toString('hex'), crc32, uniqueIndex, known, dictRow, compressed, bytes];
      });
    for (const dict of files < 30 ? [undefined] : [undefined, dictOf(contents)]) {
      const options = { algorithm: 'sha256', dict } as const;
      const namer = await digester(options);
      const parts = await collect<EntryPart | ChunkPart | EndPart, In>(namer, unnamed());
      const due = facts(loop('zstd', parts));
      for (const [workers, batch] of [
        [1, 1],
        [2, 7],
        [3, 500],
      ] as const) {
        const names = new ChunkDeduper(options);
        const stage = await compressor({
          compressor: 'zstd',
          chunkSize: 0x10000,
          workers,
          names,
        });
        const out = await collect<EntryPart | ChunkPart | EndPart, Out>(stage, unnamed(), {
          batch,
          slow: batch === 7,
        });
        t.same(facts(out), due, `${files} files, ${workers} workers, ${dict?.count ?? 0} in dict`);
      }
    }
  }
});

t.test('batches are compressed as one, and chunks in them stay as they are', async t => {
  const parts: (In | ChunkBatchPart)[] = [];
  for (let i = 0; i < 200; i++) {
    const { chunk, bytes } = named(i, wordyBytes(50 + i, i));
    const batch = { context: i >> 2, offset: i & 3 };
    // they may still have their bytes
    parts.push({ kind: 'chunk', chunk: { ...chunk, batch }, bytes: i % 3 ? NO_BYTES : bytes });
    if (i % 4 < 3) continue;
    const whole = i % 8 === 3 ? wordyBytes(20_000, i) : randomBytes(500, i);
    parts.push({ kind: 'batch', uncompressedSize: whole.length, bytes: whole });
    parts.push(named(1000 + i, wordyBytes(3000, i)));
  }
  for (const algorithm of ['zstd', 'lz4_block', 'none'] as const) {
    for (const workers of [0, 2]) {
      const stage = await compressor({ compressor: algorithm, chunkSize: 0x10000, workers });
      const given = parts.map(part => ({ ...part }));
      const out = await collect<In | ChunkBatchPart, Out | ChunkBatchPart>(stage, given, {
        batch: 9,
      });
      t.equal(out.length, parts.length);
      const wrong = out.findIndex((part, i) => {
        const from = parts[i]!;
        if (part.kind === 'chunk' && part.chunk.batch) {
          const { chunk, bytes } = from as ChunkPart<NamedChunk>; // the order is kept
          return (
            part.chunk.digest !== chunk.digest || part.chunk.compressed || part.bytes !== bytes
          );
        }
        if (part.kind === 'entry' || part.kind === 'end') return true;
        const { bytes } = from as ChunkBatchPart; // a batch, or a chunk that is not in one
        const due = compress(algorithm, bytes) ?? bytes;
        if (part.kind === 'batch' && part.uncompressedSize !== bytes.length) return true;
        return part.kind !== from.kind || !part.bytes.equals(due);
      });
      t.equal(wrong, -1, `${algorithm}, ${workers} workers`);
    }
  }
});

t.test('chunks of 16 MiB', async t => {
  const size = 0x1000000;
  const parts = [
    named(0, Buffer.alloc(size, 'abc')),
    named(1, randomBytes(size, 1)),
    named(2, wordyBytes(100, 2)),
    named(3, Buffer.alloc(size - 1)),
    named(4, Buffer.alloc(size, 'x')),
  ];
  const due = loop('zstd', parts);
  for (const workers of [0, 2]) {
    const stage = await compressor({ compressor: 'zstd', chunkSize: size, workers });
    t.equal(difference(await collect<In, Out>(stage, fresh(parts), { batch: 2 }), due), undefined);
  }
});

t.test(
  'zstd gives the bytes of libzstd 1.5.6, whoever compresses',
  { skip: exact ? false : 'no native zstd on this machine' },
  async t => {
    const GOLDEN = '541208fc0cded7706e567399263bc3495f22aeddcdf69828bf0b11f8e89cf3be';
    for (const workers of [0, 2]) {
      const stage = await compressor({ compressor: 'zstd', chunkSize: 0x100000, workers });
      const parts = Array.from({ length: 3 }, (_, i) => named(i, wordyBytes(0x100000, 0x100000)));
      for (const part of await collect<In, Out>(stage, parts)) {
        const { bytes } = part as ChunkPart<PackedChunk>; // nothing else went in
        t.equal(createHash('sha256').update(bytes).digest('hex'), GOLDEN);
      }
    }
  },
);

t.test('a failing thread fails the pipeline', async t => {
  // gzip is read, never written: a compressor for it throws on its first chunk
  for (const [workers, count] of [
    [0, 1],
    [2, 1],
    [1, 40],
    [2, 40],
  ] as const) {
    const stage = await compressor({ compressor: 'gzip', chunkSize: 0x10000, workers });
    const parts = Array.from({ length: count }, (_, i) => named(i, wordyBytes(0x10000, i)));
    await t.rejects(
      collect(stage, parts),
      { message: /gzip is read, not written/, at: { stage: 'compressor' } },
      `${workers} workers, ${count} chunks`,
    );
    t.ok(stage.destroyed);
  }
});

/** Threads that keep this process alive, by their handles. */
const threads = (): number =>
  process.getActiveResourcesInfo().filter(name => name === 'MessagePort' || name === 'Worker')
    .length;

/** Resolves when none does; the test times out where one stays. */
const noThreads = async (): Promise<void> => {
  while (threads() > 0) await sleep(5);
};

t.test('whichever way a pipeline ends, threads work for it no more', async t => {
  await noThreads();
  threadPool.start(2);
  t.teardown(() => threadPool.close());
  while (threadPool.haveEnough(2)) await sleep(5); // until they are ready
  let most = 0; // threads at work, as far as it was seen
  const chunks = function* (count: number): Iterable<In[]> {
    for (let i = 0; i < count; i++) {
      most = Math.max(most, threads());
      yield [named(i, wordyBytes(0x10000, 1))];
    }
  };
  for (const way of ['end', 'abort', 'sink', 'source'] as const) {
    const abort = new AbortController();
    let seen = 0;
    const sink = new Writable({
      objectMode: true,
      write(batch: Out[], _encoding, done) {
        seen += batch.length;
        most = Math.max(most, threads());
        if (way === 'abort' && seen > 20) abort.abort();
        done(way === 'sink' && seen > 20 ? new Error('bad sink') : null);
      },
    });
    const source = Readable.from(chunks(way === 'end' ? 60 : 10_000)); // as good as endless
    if (way === 'source') {
      setTimeout(() => source.destroy(new Error('bad source')), 200);
    }
    const stage = await compressor({ compressor: 'lz4_block', chunkSize: 0x10000, workers: 2 });
    const run = pipeline(source, stage, sink, { signal: abort.signal });
    if (way === 'end') await run;
    else
      await t.rejects(run, {
        message: { abort: /abort/i, sink: 'bad sink', source: 'bad source' }[way],
      });
    await noThreads();
    t.pass(`none after ${way}`);
  }
  t.ok(most > 0, `${most} threads while they ran`);
});

t.test('a process that aborts a build exits by itself', async t => {
  const url = (path: string): string => new URL(path, import.meta.url).href;
  const script = `
    import { Readable, Writable } from 'node:stream';
    import { pipeline } from 'node:stream/promises';
    import { compressor } from ${JSON.stringify(url('../../../streams/build/compressor.js'))};
    import { wordyBytes } from ${JSON.stringify(url('../../support/random.js'))};
    const abort = new AbortController();
    const bytes = wordyBytes(0x10000, 1);
    const source = Readable.from((function* () {
      for (let i = 0; i < 10_000; i++) yield [{ kind: 'chunk', chunk: { known: false, uniqueIndex: i }, bytes: Buffer.from(bytes) }];
    })());
    let seen = 0;
    const sink = new Writable({ objectMode: true, write(batch, _, done) {
      if ((seen += batch.length) > 50) abort.abort();
      done();
    } });
    const stage = await compressor({ compressor: 'zstd', chunkSize: 0x10000, workers: 2 });
    await pipeline(source, stage, sink, { signal: abort.signal }).catch(error => console.log(error.name));
  `;
  const dir = t.testdir({ 'abort.mjs': script });
  const { stdout } = await promisify(execFile)(process.execPath, [`${dir}/abort.mjs`], {
    timeout: 20_000,
  });
  t.equal(stdout, 'AbortError\n');
});

t.test('a small layer starts no thread', async t => {
  await noThreads();
  const stage = await compressor({ compressor: 'lz4_block', chunkSize: 0x10000, workers: 2 });
  let most = 0;
  const watched = (function* () {
    for (const part of layer(20, 1)) {
      most = Math.max(most, threads());
      yield part;
    }
  })();
  await collect<In, Out>(stage, watched);
  t.equal(most, 0);
});
