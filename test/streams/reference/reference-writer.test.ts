import { createHash } from 'node:crypto';
import fs from 'node:fs';
import t from 'tap';
import type { BlobRecord } from '../../../lib/model/stored.js';
import { parseChunkInfo, parseChunkInfoHeader } from '../../../lib/blob/chunk-info-table.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import type {
  BlobPart,
  ChunkPart,
  ContextPart,
  FinishPart,
  LayerPart,
  SectionPart,
} from '../../../lib/model/parts.js';
import type { NamedChunk, PlacedChunk } from '../../../lib/model/chunk.js';
import { sectionsOfTail, tailSize, unpackSection } from '../../../lib/blob/toc.js';
import {
  referenceWriter,
  type ReferenceWriterOptions,
} from '../../../streams/reference/reference-writer.js';
import { entryOf } from '../../support/images/entries.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { randomBytes } from '../../support/random.js';
import { collect } from '../../support/stream/stage.js';

type Out = ChunkPart<PlacedChunk> | SectionPart | FinishPart | BlobPart | { kind: 'entry' | 'end' };

const OPTIONS: ReferenceWriterOptions = {
  compressor: 'gzip',
  digester: 'sha256',
  chunkSize: 0x100000,
  inlineMeta: false,
  blobToc: false,
  zran: true,
};
const LAYER: LayerPart = { kind: 'layer', size: 1_000_000, digest: 'ab'.repeat(32) };

const chunkOf = (n: number, more: Partial<NamedChunk> = {}): ChunkPart<NamedChunk> => ({
  kind: 'chunk',
  chunk: {
    fileOffset: 0,
    uncompressedSize: 5000,
    digest: sha256(Buffer.from([n])),
    crc32: n,
    uniqueIndex: n,
    known: false,
    zran: { inOffset: n * 1000, inSize: 900, context: n, offset: 10 },
    ...more,
  },
  bytes: Buffer.alloc(0),
});

const contextOf = (n: number): ContextPart => ({
  kind: 'context',
  context: {
    inOffset: n * 1000,
    outOffset: n * 6000,
    inSize: 950,
    outSize: 5010,
    bits: n % 8,
    byte: n,
  },
  dictionary: randomBytes(100 * n, n),
});

const write = async (
  parts: readonly unknown[],
  options: Partial<ReferenceWriterOptions> = {},
): Promise<Out[]> => collect(await referenceWriter({ ...OPTIONS, ...options }), parts);

const bytesOf = (out: readonly Out[], artifact = 'blob'): Buffer =>
  Buffer.concat(
    out.flatMap(part =>
      part.kind === 'section' && part.artifact === artifact ? [part.bytes] : [],
    ),
  );
const blobOf = (out: readonly Out[]): BlobPart => out.at(-1) as BlobPart; // it ends with it

const tableOf = (out: readonly Out[], bytes = bytesOf(out)) => {
  const blob = blobOf(out).blob as BlobRecord; // of what it has no more, nothing is asked
  const end = blob.ciOffset + blob.ciCompressedSize;
  const header = parseChunkInfoHeader(bytes.subarray(end, end + 4096), blob);
  return parseChunkInfo(bytes.subarray(blob.ciOffset, end), header, blob);
};

t.test('chunks and contexts come back from the table', async t => {
  const parts = [0, 1, 2, 3].flatMap(n => [
    chunkOf(n),
    chunkOf(n + 10, { zran: { inOffset: n * 1000, inSize: 0, context: n, offset: 0 } }),
    contextOf(n),
  ]);
  const out = await write([...parts, LAYER]);
  const table = tableOf(out);
  t.equal(table.count, 8);
  t.equal(table.contextCount, 4);
  for (let n = 0; n < 4; n++) {
    const info = table.chunk(2 * n);
    t.match(info, { compressedOffset: n * 1000, compressedSize: 900, compressed: true });
    t.match(info, { uncompressedOffset: 2 * n * 8192, zran: { context: n, offset: 10 } });
    t.equal(info.crc32, undefined);
    t.match(table.zran(n), contextOf(n).context);
    t.ok(table.zran(n).dictionary.equals(contextOf(n).dictionary));
  }
  const { blob, layer } = blobOf(out);
  t.same(layer, { id: LAYER.digest, size: LAYER.size });
  t.match(blob, {
    id: LAYER.digest,
    compressedSize: LAYER.size,
    uncompressedSize: 8 * 8192,
    features: 0x4000_001d,
    compressor: 2,
    metaSize: bytesOf(out).length,
    metaDigest: sha256(bytesOf(out)),
  });
});

t.test('a known chunk takes no place, and its context stays', async t => {
  const out = await write([
    chunkOf(0),
    chunkOf(1),
    contextOf(0),
    chunkOf(0, { known: true }),
    contextOf(1),
    LAYER,
  ]);
  t.equal(tableOf(out).count, 2);
  t.equal(tableOf(out).contextCount, 2);
});

t.test('no more contexts than chunks, as readers want it', async t => {
  const parts = [0, 1, 2, 3, 4, 5].flatMap(n => [
    chunkOf(n, { known: n !== 2 && n !== 5 }),
    contextOf(n),
  ]);
  const table = tableOf(await write([...parts, LAYER]));
  t.equal(table.count, 2);
  t.equal(table.contextCount, 2);
  [2, 5].forEach((n, i) => {
    t.match(table.chunk(i), { compressedOffset: n * 1000, zran: { context: i, offset: 10 } });
    t.match(table.zran(i), contextOf(n).context);
    t.ok(table.zran(i).dictionary.equals(contextOf(n).dictionary));
  });
});

t.test('a plain tar: chunks lie where their file does', async t => {
  const entry = { kind: 'entry', entry: entryOf('file', 'f', { size: 9000, dataOffset: 1536 }) };
  const plain = (fileOffset: number, n: number): ChunkPart<NamedChunk> => {
    const { zran, ...chunk } = chunkOf(n, { fileOffset, uncompressedSize: 4500 }).chunk;
    t.ok(zran);
    return { kind: 'chunk', chunk, bytes: Buffer.alloc(0) };
  };
  const parts = [entry, plain(0, 0), plain(4500, 7), { kind: 'end' }];
  const out = await write([...parts, LAYER], { zran: false });
  const table = tableOf(out);
  const place = { compressedSize: 4500, compressed: false };
  t.match(table.chunk(0), { ...place, compressedOffset: 1536 });
  t.match(table.chunk(1), { ...place, compressedOffset: 1536 + 4500, crc32: 7 });
  t.equal(table.chunk(0).crc32, undefined, 'readers refuse a checksum of 0');
  t.equal(table.contextCount, 0);
  t.equal(blobOf(out).blob!.features, 0x4000_0015);
  const sparse = { kind: 'entry', entry: entryOf('file', 'holes', { size: 9000 }) };
  await t.rejects(write([sparse, plain(0, 0), LAYER], { zran: false }), {
    code: 'UNSUPPORTED',
    at: { path: 'holes' },
  });
});

t.test('sections of a blob with a table of contents', async t => {
  const parts = [chunkOf(1, { zran: { inOffset: 9, inSize: 9, context: 0, offset: 1 } })];
  const out = await write([...parts, contextOf(0), LAYER], { blobToc: true });
  const bytes = bytesOf(out);
  const sections = sectionsOfTail(
    bytes.subarray(bytes.length - tailSize(bytes.length)),
    bytes.length,
  )!;
  t.same(
    sections.map(({ name }) => name),
    ['blob.meta', 'blob.meta.header', 'blob.digest'],
  );
  for (const section of sections) {
    const stored = bytes.subarray(section.offset, section.offset + section.size);
    const plain = unpackSection(section, stored); // compares the digest
    if (section.name === 'blob.digest') t.ok(plain.equals(sha256(Buffer.from([1]))));
  }
  const { blob } = blobOf(out);
  const digests = sections.at(-1)!;
  const hashed = createHash('sha256')
    .update(bytes.subarray(0, digests.offset))
    .update(bytes.subarray(digests.offset + digests.size));
  t.equal(blob!.metaDigest.toString('hex'), hashed.digest('hex'));
  t.equal(blob!.tocSize, 3 * 128 + 512);
  const features = BlobFeature.HAS_TOC + BlobFeature.HAS_TAR_HEADER;
  t.equal(blob!.features & features, features);
});

t.test('with the bootstrap to come, nothing is said of a file that is not complete', async t => {
  const out = await write([chunkOf(0), contextOf(0), LAYER], { inlineMeta: true, blobToc: true });
  t.match(blobOf(out).blob, {
    id: LAYER.digest,
    metaSize: 0,
    metaDigest: Buffer.alloc(32),
    tocSize: 0,
  });
});

t.test('a table with more dictionaries than are held is the same table, in frames', async t => {
  const parts = [0, 1, 2, 3, 4, 5].flatMap(n => [chunkOf(n), contextOf(n)]);
  const blobToc = true;
  const whole = await write([...parts, LAYER], { blobToc });
  const directory = temporaryDirectory(t);
  const long = await write([...parts, LAYER], { blobToc, directory, held: 300 });
  t.same(fs.readdirSync(directory), []);
  t.equal(openBelow(directory).length, 0);
  t.notOk(bytesOf(long).equals(bytesOf(whole)));
  const plain = [whole, long].map(out => {
    const bytes = bytesOf(out);
    const sections = sectionsOfTail(bytes.subarray(-tailSize(bytes.length)), bytes.length)!;
    const [meta] = sections;
    return unpackSection(meta!, bytes.subarray(meta!.offset, meta!.offset + meta!.size));
  });
  t.ok(plain[1]!.equals(plain[0]!));
  const table = tableOf(long);
  for (const n of [0, 3, 5]) t.ok(table.zran(n).dictionary.equals(contextOf(n).dictionary));

  const caches = await Promise.all(
    [{}, { directory, held: 300 }].map(async more =>
      bytesOf(await write([...parts, LAYER], { cache: true, ...more }), 'cache-meta'),
    ),
  );
  const size = plain[0]!.length;
  t.ok(caches[1]!.subarray(0, size).equals(caches[0]!.subarray(0, size)));
  t.equal(caches[1]!.length, caches[0]!.length);

  const few = parts.map(part =>
    part.kind === 'chunk' && part.chunk.uniqueIndex < 3
      ? { ...part, chunk: { ...part.chunk, known: true } }
      : part,
  );
  const kept = tableOf(await write([...few, LAYER], { directory, held: 300 }));
  t.equal(kept.contextCount, 3);
  t.ok(kept.zran(2).dictionary.equals(contextOf(5).dictionary));
});

t.test('a layer without chunks has no blob', async t => {
  const out = await write([{ kind: 'entry', entry: entryOf('file', 'f') }, { kind: 'end' }, LAYER]);
  t.equal(blobOf(out).blob, undefined);
  t.same(blobOf(out).layer, { id: LAYER.digest, size: LAYER.size });
  t.equal(bytesOf(out).length, 0);
});

t.test('what nydusd would cache, instead of the blob', async t => {
  const bytes = randomBytes(5000, 1);
  const chunk = { ...chunkOf(0), bytes };
  const plain = await write([chunk, contextOf(0), LAYER]);
  const out = await write([chunk, contextOf(0), LAYER], { cache: true });
  t.equal(bytesOf(out).length, 0);
  const data = bytesOf(out, 'cache-data');
  t.ok(data.equals(Buffer.concat([bytes], 8192)));
  const meta = bytesOf(out, 'cache-meta');
  t.equal(meta.length, 8192);
  const { ciCompressedSize: end } = blobOf(plain).blob!;
  t.ok(meta.subarray(4096).equals(bytesOf(plain).subarray(end, end + 4096)), 'the same header');
  t.same(
    out.flatMap(part => (part.kind === 'finish' ? [part.name] : [])),
    [`${LAYER.digest}.blob.data`, `${LAYER.digest}.blob.meta`],
  );
});
