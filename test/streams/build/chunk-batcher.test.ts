import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { ChunkBatchPart, ChunkPart, EndPart, EntryPart } from '../../../lib/model/parts.js';
import type { NamedChunk } from '../../../lib/model/chunk.js';
import { chunkBatcher, type ChunkBatcherOptions } from '../../../streams/build/chunk-batcher.js';
import { entryOf } from '../../support/images/entries.js';
import { randomBytes } from '../../support/random.js';
import { collect } from '../../support/stream/stage.js';

type In = EntryPart | ChunkPart<NamedChunk> | EndPart;
type Out = In | ChunkBatchPart;

const B = 4096;
const CHUNK = 8192;

interface File {
  size: number;
  known?: boolean;
}

/** Files as their chunks come: each of CHUNK bytes but the last. */
const partsOf = (files: readonly File[]): In[] => {
  const parts: In[] = [];
  files.forEach(({ size, known = false }, n) => {
    parts.push({ kind: 'entry', entry: entryOf('file', `f${n}`, { size }) });
    for (let at = 0; at < size; at += CHUNK) {
      const bytes = randomBytes(Math.min(CHUNK, size - at), n * 31 + at);
      const chunk = {
        fileOffset: at,
        uncompressedSize: bytes.length,
        digest: createHash('sha256').update(bytes).digest(),
        crc32: 1,
        uniqueIndex: n,
        known,
      };
      parts.push({ kind: 'chunk', chunk, bytes: known ? Buffer.alloc(0) : bytes });
    }
    parts.push({ kind: 'end' });
  });
  return parts;
};

const run = (parts: readonly In[], options: Partial<ChunkBatcherOptions> = {}, slow = false) =>
  collect<In, Out>(chunkBatcher({ batchSize: B, ...options }), parts, {
    batch: slow ? 1 : 7,
    slow,
  });

const kinds = (out: readonly Out[]): string =>
  out.map(({ kind }) => ({ entry: '(', end: ')', chunk: 'c', batch: 'B' })[kind]).join('');

t.test('a batch comes behind its chunks, and before what is not in it', async t => {
  const out = await run(partsOf([{ size: 10 }, { size: 20 }, { size: 5000 }, { size: 30 }]));
  t.equal(kinds(out), '(c)(c)(Bc)(c)B');
  const batches = out.filter(part => part.kind === 'batch');
  t.same(
    batches.map(({ uncompressedSize }) => uncompressedSize),
    [30, 30],
  );
});

t.test('a file of two chunks has none in a batch, however small its last', async t => {
  const out = await run(partsOf([{ size: 10 }, { size: CHUNK + 10 }, { size: 20 }]));
  t.equal(kinds(out), '(c)(Bcc)(c)B');
});

t.test('known chunks and files without content do not end a batch', async t => {
  const out = await run(
    partsOf([{ size: 10 }, { size: 9, known: true }, { size: 0 }, { size: 5 }]),
  );
  t.equal(kinds(out), '(c)(c)()(c)B');
  t.notOk(out.some(part => part.kind === 'chunk' && part.chunk.known && part.chunk.batch));
});

t.test('a full batch ends before the chunk that has no room in it', async t => {
  const out = await run(partsOf([{ size: 2047 }, { size: 2047 }, { size: 2 }, { size: 2048 }]));
  t.equal(kinds(out), '(c)(c)(Bc)(Bc)');
});

t.test('chunks keep their bytes only if asked to', async t => {
  const parts = partsOf([{ size: 10 }]);
  const sizes = (out: readonly Out[]): number[] =>
    out.flatMap(part => (part.kind === 'chunk' ? [part.bytes.length] : []));
  t.same(sizes(await run(parts)), [0]);
  t.same(sizes(await run(parts, { keepBytes: true })), [10]);
});

t.test('nothing in, nothing out', async t => {
  t.same(await run([]), []);
  t.equal(kinds(await run(partsOf([{ size: 0 }]))), '()');
});

t.test('every new chunk is in exactly one place, however slow the reader is', async () => {
  const file = fc.record({
    size: fc.oneof(fc.nat(30), fc.nat(2 * B), fc.constantFrom(2047, 2048, CHUNK, CHUNK + 1)),
    known: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(file, { maxLength: 40 }),
      fc.boolean(),
      fc.constantFrom(0, 19),
      async (files, slow, leastBatch) => {
        const parts = partsOf(files);
        const out = await run(parts, { leastBatch }, slow);
        const batches = out.filter(part => part.kind === 'batch');
        const chunks = out.filter(part => part.kind === 'chunk');
        const wanted = parts.filter(part => part.kind === 'chunk');
        if (chunks.length !== wanted.length) throw new Error('count');
        chunks.forEach(({ chunk, bytes }, n) => {
          const due = wanted[n]!;
          if (chunk.digest !== due.chunk.digest) throw new Error('order');
          const { batch } = chunk;
          const found = batch
            ? batches[batch.context]!.bytes.subarray(batch.offset, batch.offset + due.bytes.length)
            : bytes;
          if (!found.equals(due.bytes)) throw new Error(`bytes of chunk ${n}`);
        });
        for (const { bytes, uncompressedSize } of batches) {
          if (bytes.length !== uncompressedSize || bytes.length >= B) throw new Error('size');
          if (bytes.length < leastBatch) throw new Error('too small');
        }
        const rest = out.filter(part => part.kind === 'entry' || part.kind === 'end');
        return rest.length === 2 * files.length;
      },
    ),
    { numRuns: 60 },
  );
});
