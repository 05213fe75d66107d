import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import type { BlobRecord } from '../../../lib/model/stored.js';
import { BlobFile } from '../../../lib/blob/blob-file.js';
import { decompress, prepareCompressors } from '../../../lib/compress/compressors.js';
import { decrypt } from '../../../lib/crypto/aes-xts.js';
import type {
  ChunkBatchPart,
  BlobPart,
  ChunkPart,
  EndPart,
  EntryPart,
  SectionPart,
} from '../../../lib/model/parts.js';
import type { PackedChunk, PlacedChunk } from '../../../lib/model/chunk.js';
import { readChunkInfo } from '../../../streams/read/chunk-info.js';
import { blobWriter, INLINED_BLOB_ID } from '../../../streams/build/blob-writer.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { partsOf } from '../../support/images/entries.js';
import { collect } from '../../support/stream/stage.js';

type In = EntryPart | ChunkPart<PackedChunk> | ChunkBatchPart | EndPart;
type Out = EntryPart | ChunkPart<PlacedChunk> | EndPart | SectionPart | BlobPart;

await prepareCompressors();
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const OPTIONS = {
  compressor: 'zstd',
  digester: 'sha256',
  chunkSize: 0x10000,
  inlineMeta: false,
  blobToc: false,
} as const;

/** The n-th chunk, as a compressor leaves it. */
const packed = (
  n: number,
  size: number,
  stored: number,
  known = false,
): ChunkPart<PackedChunk> => ({
  kind: 'chunk',
  chunk: {
    fileOffset: 0,
    uncompressedSize: size,
    digest: createHash('sha256').update(`${n}`).digest(),
    crc32: n,
    uniqueIndex: n,
    known,
    compressed: stored < size,
  },
  bytes: known ? Buffer.alloc(0) : Buffer.alloc(stored, n),
});

const blobOf = (out: Out[]): Buffer =>
  Buffer.concat(out.flatMap(part => (part.kind === 'section' ? [part.bytes] : [])));
const infoOf = (out: Out[]): BlobPart => out.at(-1) as BlobPart; // which is the last, as is tested

const chunks = fc
  .array(
    fc.record({
      size: fc.integer({ min: 1, max: 0x10000 }),
      ratio: fc.double({ min: 0.01, max: 1, noNaN: true }),
      known: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40, size: 'max' },
  )
  .map(list =>
    list.map(({ size, ratio, known }, n) =>
      packed(n, size, Math.ceil(size * ratio), known && n > 0),
    ),
  );

/** Reads a blob as its bytes say; throws where they contradict the chunks that went in. */
const check = (
  out: Out[],
  parts: ChunkPart<PackedChunk>[],
  { inlineMeta, blobToc }: { inlineMeta: boolean; blobToc: boolean },
  file: BlobFile,
): void => {
  const bytes = blobOf(out);
  const { kind, blob } = infoOf(out);
  if (kind !== 'blob' || !blob) throw new Error('no blob');
  const fresh = parts.filter(({ chunk }) => !chunk.known);
  const placed = out.flatMap(part =>
    part.kind === 'chunk' && 'index' in part.chunk ? [part] : [],
  );
  if (placed.length !== fresh.length || blob.chunkCount !== fresh.length) throw new Error('count');
  let stored = 0;
  let plain = 0;
  placed.forEach(({ chunk, bytes: left }, i) => {
    const { chunk: from, bytes: data } = fresh[i]!;
    if (left.length > 0) throw new Error('bytes go on');
    if (chunk.index !== i || chunk.blobIndex !== 0) throw new Error(`index ${chunk.index}`);
    if (chunk.compressedOffset !== stored) throw new Error(`stored at ${chunk.compressedOffset}`);
    if (chunk.compressedSize !== data.length) throw new Error('stored size');
    if (chunk.uncompressedOffset !== plain) throw new Error(`plain at ${chunk.uncompressedOffset}`);
    if (!bytes.subarray(stored, stored + data.length).equals(data)) throw new Error('data');
    stored += data.length;
    plain += Math.ceil(from.uncompressedSize / 4096) * 4096;
  });
  if (blob.uncompressedSize !== plain) throw new Error('uncompressed size');
  if (blob.compressedSize !== bytes.length) throw new Error('compressed size');
  if (file.position !== bytes.length) throw new Error('position');

  // sections follow one another, each with its tar header where there are any
  const header = inlineMeta || blobToc ? 512 : 0;
  if (blob.ciOffset !== stored + header) throw new Error(`CI table at ${blob.ciOffset}`);
  const table = bytes.subarray(blob.ciOffset, blob.ciOffset + blob.ciCompressedSize);
  const ci = blob.ciCompressor === 3 ? decompress('zstd', table, blob.ciUncompressedSize) : table;
  if (ci.length !== 16 * fresh.length) throw new Error('size of the CI table');
  placed.forEach(({ chunk }, i) => {
    const word = ci.readBigUInt64LE(16 * i + 8);
    if (Number(word & 0xffffffffffn) !== chunk.compressedOffset) throw new Error('CI offset');
    if (Number(word >> 44n) + 1 !== chunk.compressedSize) throw new Error('CI size');
  });
  const headerAt = blob.ciOffset + blob.ciCompressedSize;
  if (bytes.readUInt32LE(headerAt) !== 0xb10bb10b) throw new Error('CI header');
  if (bytes.readUInt32LE(headerAt + 4) !== blob.features) throw new Error('features');
  let end = headerAt + 4096 + header;
  if (blobToc) {
    const digests = bytes.subarray(end, end + 32 * fresh.length);
    if (!digests.equals(Buffer.concat(fresh.map(({ chunk }) => chunk.digest)))) {
      throw new Error('digests');
    }
    end += digests.length + 512;
  }
  if (blobToc && !inlineMeta) {
    const toc = bytes.subarray(end);
    if (toc.length !== 4 * 128 + 512 || blob.tocSize !== toc.length) throw new Error('TOC size');
    if (sha256(toc) !== blob.tocDigest.toString('hex')) throw new Error('TOC digest');
    for (let i = 0; i < 4; i++) {
      const at = 128 * i;
      const offset = Number(toc.readBigUInt64LE(at + 56));
      const size = Number(toc.readBigUInt64LE(at + 64));
      const name = toc.toString('latin1', at + 8, at + 24).replace(/\0+$/, '');
      // what follows a section is its tar header; the two of the CI table share one
      if (
        name !== 'blob.meta' &&
        bytes[offset + size] !== (name.startsWith('image') ? 0x69 : 0x62)
      ) {
        throw new Error(`no header behind ${name}`);
      }
      if (name === 'image.blob') continue; // its digest covers its header
      let section = bytes.subarray(offset, offset + size);
      if (toc[at] === 2)
        section = decompress('zstd', section, Number(toc.readBigUInt64LE(at + 72)));
      if (sha256(section) !== toc.toString('hex', at + 24, at + 56))
        throw new Error(`digest of ${name}`);
    }
    end = bytes.length;
  } else if (blob.tocSize !== 0) throw new Error('TOC size');
  if (end !== bytes.length) throw new Error(`${bytes.length - end} bytes left`);
};

for (const inlineMeta of [false, true]) {
  for (const blobToc of [false, true]) {
    const options = { ...OPTIONS, inlineMeta, blobToc };
    t.test(
      `sections lie where they are said to: ${JSON.stringify({ inlineMeta, blobToc })}`,
      async t => {
        await fc.assert(
          fc.asyncProperty(
            chunks,
            fc.integer({ min: 1, max: 9 }),
            fc.boolean(),
            async (parts, batch, slow) => {
              const file = new BlobFile();
              const writer = blobWriter({ ...options, file });
              const out = await collect<In, Out>(writer, parts, { batch, slow });
              check(out, parts, options, file);
              // and all at once gives the same
              const again = await collect<In, Out>(blobWriter(options), parts, { batch: 1000 });
              t.ok(blobOf(again).equals(blobOf(out)));
              t.same(infoOf(again).blob, infoOf(out).blob);
            },
          ),
          { numRuns: 30 },
        );
      },
    );
  }
}

t.test('features', async t => {
  const featuresOf = async (options: object): Promise<unknown> =>
    infoOf(await collect<In, Out>(blobWriter({ ...OPTIONS, ...options }), [packed(0, 9, 9)])).blob
      ?.features;
  t.equal(await featuresOf({}), 0x4000_0001);
  t.equal(await featuresOf({ inlineMeta: true }), 0x5000_0003);
  t.equal(await featuresOf({ blobToc: true }), 0x7000_0021);
  t.equal(await featuresOf({ inlineMeta: true, blobToc: true }), 0x7000_0023);
});

t.test('the id is the sha256 of the blob, a given one, or a stand-in', async t => {
  const run = (options: object) =>
    collect<In, Out>(blobWriter({ ...OPTIONS, ...options }), [packed(0, 9, 9), packed(1, 20, 10)]);
  const plain = await run({});
  t.equal(infoOf(plain).blob?.id, sha256(blobOf(plain)));
  t.equal(infoOf(await run({ blobId: 'mine' })).blob?.id, 'mine');
  t.equal(infoOf(await run({ blobId: '' })).blob?.id, sha256(blobOf(plain)));
  t.equal(infoOf(await run({ inlineMeta: true, blobId: 'mine' })).blob?.id, INLINED_BLOB_ID);
  const toc = await run({ blobToc: true });
  t.not(infoOf(toc).blob?.id, sha256(blobOf(toc)), 'the digests are not hashed');
});

t.test('a blob within a larger file', async t => {
  const out = await collect<In, Out>(blobWriter({ ...OPTIONS, blobOffset: 1000 }), [
    packed(0, 9, 9),
    packed(1, 9, 9),
  ]);
  const offsets = out.flatMap(part => (part.kind === 'chunk' ? [part.chunk.compressedOffset] : []));
  t.same(offsets, [1000, 1009]);
});

t.test('without a new chunk there is no blob', async t => {
  const parts = [...partsOf('directory', ''), ...partsOf('file', 'empty')];
  for (const options of [{}, { inlineMeta: true }, { blobToc: true }]) {
    const file = new BlobFile();
    const writer = blobWriter({ ...OPTIONS, ...options, file });
    const out = await collect<unknown, Out>(writer, parts);
    t.same(out.slice(0, -1), parts);
    t.match(infoOf(out), { kind: 'blob', blob: undefined });
    t.equal(file.position, 0);
  }
});

t.test('known chunks pass as they are', async t => {
  const known = packed(0, 9, 9, true);
  const out = await collect<In, Out>(blobWriter(OPTIONS), [packed(0, 9, 9), known]);
  const last = out.filter(part => part.kind === 'chunk').at(-1)!;
  t.same(last.chunk, known.chunk);
});

t.test('a chunk that no blob can hold is LIMIT, and the stage is named', async t => {
  for (const bad of [packed(0, 0x1000001, 5), packed(0, 0, 0)]) {
    await t.rejects(collect(blobWriter(OPTIONS), [bad]), {
      name: 'RafsError',
      code: 'LIMIT',
      at: { stage: 'blob-writer', record: 'ChunkInfoV1' },
    });
  }
});

t.test('version 5: chunks and nothing else, packed unless they are to be aligned', async t => {
  const parts = [packed(0, 5000, 3000), packed(1, 10, 10), packed(2, 4096, 7)];
  const run = (options: object) =>
    collect<In, Out>(blobWriter({ ...OPTIONS, fsVersion: 5, ...options }), parts);
  const data = Buffer.concat(parts.map(({ bytes }) => bytes));
  const offsets = (out: Out[]): number[] =>
    out.flatMap(part => (part.kind === 'chunk' ? [part.chunk.uncompressedOffset] : []));

  const plain = await run({ alignedChunk: false });
  t.ok(blobOf(plain).equals(data));
  t.same(offsets(plain), [0, 5000, 5010]);
  t.match(infoOf(plain).blob, {
    id: sha256(data),
    chunkCount: 3,
    features: 0x4000_0000,
    compressedSize: 3017,
    uncompressedSize: 9106,
    ciOffset: 0,
    ciCompressedSize: 0,
    ciUncompressedSize: 0,
    readaheadSize: 0,
  });

  const aligned = await run({ alignedChunk: true });
  t.ok(blobOf(aligned).equals(data));
  t.same(offsets(aligned), [0, 8192, 12288]);
  t.match(infoOf(aligned).blob, { features: 0x4000_0000, uncompressedSize: 16384 });

  const inline = await run({ alignedChunk: false, inlineMeta: true });
  t.equal(blobOf(inline).length, 3017 + 512);
  t.equal(blobOf(inline).toString('latin1', 3017, 3027), 'image.blob');
  t.match(infoOf(inline).blob, { features: 0x5000_0002, compressedSize: 3529 });
});

t.test('what is read ahead: new chunks of files that a pattern covers', async t => {
  const out = await collect<unknown, Out>(blobWriter({ ...OPTIONS, readahead: ['a', 'b/c'] }), [
    ...[...partsOf('file', 'a/x').slice(0, 1), packed(0, 100, 60), packed(1, 100, 7)],
    ...[...partsOf('file', 'b/d').slice(0, 1), packed(2, 100, 20)],
    ...[...partsOf('file', 'b/c').slice(0, 1), packed(0, 100, 60, true), packed(3, 9, 9)],
  ]);
  t.equal(infoOf(out).blob?.readaheadSize, 76);
});

/** What a reader of blobs is told by the blob table. */
const recordOf = (out: Out[]): BlobRecord => {
  const { blob } = infoOf(out);
  return { ...blob!, index: 0, storedId: blob!.id, cipher: 0, mappedBlkaddr: 0, ...NO_READAHEAD };
};
const NO_READAHEAD = { readaheadOffset: 0, readaheadSize: 0 };
const SECRET = { key: Buffer.from('0123456789abcdef0123456789ABCDEF'), iv: Buffer.alloc(16, 9) };

for (const secret of [undefined, SECRET]) {
  t.test(`batches, ${secret ? 'encrypted' : 'in clear'}: places, table and contexts`, async t => {
    const inBatch = (n: number, size: number, context: number, offset: number) => {
      const { chunk } = packed(n, size, size);
      return {
        kind: 'chunk',
        chunk: { ...chunk, batch: { context, offset } },
        bytes: Buffer.alloc(0),
      } as const;
    };
    const whole = (size: number, stored: number, fill: number) =>
      ({ kind: 'batch', uncompressedSize: size, bytes: Buffer.alloc(stored, fill) }) as const;
    const out = await collect<In, Out>(
      blobWriter({ ...OPTIONS, compressor: 'none', batched: true, secret }),
      [
        packed(0, 5000, 3000),
        inBatch(1, 100, 0, 0),
        inBatch(2, 50, 0, 100),
        whole(150, 70, 0xb0),
        packed(3, 4000, 4000),
        inBatch(4, 20, 1, 0),
        whole(20, 20, 0xb1),
      ],
    );
    const bytes = blobOf(out);
    const open = (stored: Buffer): Buffer => (secret ? decrypt(secret, stored) : stored);
    const slice = (at: number, size: number): Buffer => open(bytes.subarray(at, at + size));
    t.ok(slice(0, 3000).equals(Buffer.alloc(3000, 0)));
    t.ok(slice(3000, 70).equals(Buffer.alloc(70, 0xb0)));
    t.ok(slice(3070, 4000).equals(Buffer.alloc(4000, 3)));
    t.ok(slice(7070, 20).equals(Buffer.alloc(20, 0xb1)));

    const placed = out.flatMap(part => (part.kind === 'chunk' ? [part.chunk] : []));
    t.same(
      placed.map(chunk => [chunk.compressedOffset, chunk.compressedSize, chunk.uncompressedOffset]),
      [
        [0, 3000, 0],
        [3000, 0, 8192],
        [3000, 0, 12288],
        [3070, 4000, 16384],
        [7070, 0, 20480],
      ],
    );
    t.same(
      placed.map(({ encrypted }) => encrypted),
      Array(5).fill(secret ? true : undefined),
    );

    const blob = recordOf(out);
    t.equal(blob.features, secret ? 0x4000_0185 : 0x4000_0085);
    t.equal(blob.ciUncompressedSize, 5 * 24 + 2 * 40);
    if (secret) {
      t.ok(blob.metaDigest.equals(secret.key));
      t.ok(blob.cipherIv?.equals(secret.iv));
      t.equal(bytes.indexOf(Buffer.from([0xb1, 0xb1, 0xb1, 0xb1])), -1, 'nothing is in clear');
      t.equal(bytes.indexOf(Buffer.from([0x0b, 0xb1, 0x0b, 0xb1])), -1, 'nor is the header');
    } else t.equal(blob.cipherIv, undefined);
    const table = await readChunkInfo(readerOf(bytes, 'blob'), blob);
    t.equal(table.count, 5);
    t.equal(table.contextCount, 2);
    t.same(table.batch(0), { compressedSize: 70, uncompressedSize: 150 });
    t.same(table.batch(1), { compressedSize: 20, uncompressedSize: 20 });
    t.match(table.chunk(2), { batch: { context: 0, offset: 100 }, compressed: true });
    t.match(table.chunk(3), { compressedOffset: 3070, compressed: false, crc32: 3 });
    t.equal(table.chunk(4).encrypted, secret !== undefined);
  });
}

t.test('with a cache, chunks go there as they are, also those in a batch', async t => {
  const bytes = Buffer.from('one file');
  const { chunk } = packed(1, bytes.length, bytes.length);
  const parts: In[] = [
    { kind: 'chunk', chunk: { ...chunk, batch: { context: 0, offset: 0 } }, bytes },
    { kind: 'batch', uncompressedSize: bytes.length, bytes },
  ];
  const options = { ...OPTIONS, compressor: 'none', batched: true, cache: true } as const;
  const out = await collect<In, Out>(blobWriter({ ...options, secret: SECRET }), parts);
  const data = out.filter(part => part.kind === 'section' && part.artifact === 'cache-data');
  t.equal(blobOf(data).length, 4096);
  t.ok(blobOf(data).subarray(0, bytes.length).equals(bytes));
  const meta = blobOf(
    out.filter(part => part.kind === 'section' && part.artifact === 'cache-meta'),
  );
  t.equal(meta.length, 8192);
  t.equal(meta.readUInt32LE(4096), 0xb10bb10b, 'in clear too');
  t.notOk(out.some(part => part.kind === 'section' && part.artifact === 'blob'));
});

t.test('18 bytes that would be taken for padded ones', async t => {
  const end = Buffer.from([0x78, 0x90]);
  const raw = Buffer.concat([Buffer.alloc(16, 1), end]);
  const { chunk } = packed(1, 18, 18);
  const run = (part: In) =>
    collect<In, Out>(blobWriter({ ...OPTIONS, compressor: 'lz4_block', secret: SECRET }), [part]);
  await t.rejects(run({ kind: 'chunk', chunk, bytes: raw }), {
    code: 'LIMIT',
    message: /78 90/,
    at: { stage: 'blob-writer' },
  });

  // 40 bytes of content that lz4 makes 18 of, with that end: one literal, a match, 12 literals
  const tail = Buffer.concat([Buffer.from('0123456789'), end]);
  const plain = Buffer.concat([Buffer.alloc(28, 'a'), tail]);
  const lz4 = Buffer.concat([Buffer.from([0x1f, 0x61, 1, 0, 8, 0xc0]), tail]);
  t.equal(lz4.length, 18);
  t.ok(decompress('lz4_block', lz4, 40).equals(plain));
  const compressed = { ...packed(2, 40, 18).chunk, compressed: true };
  const out = await run({ kind: 'chunk', chunk: compressed, bytes: lz4 });
  const placed = out.find(part => part.kind === 'chunk')!.chunk;
  t.match(placed, { compressed: false, compressedSize: 40 });
  t.ok(decrypt(SECRET, blobOf(out).subarray(0, 40)).equals(plain), 'stored as it was');
});
