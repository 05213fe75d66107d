import { gzipSync, constants } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import type { BytesPart, FinishPart, ImagePart, SectionPart } from '../../../lib/model/parts.js';
import { BlobBlocks } from '../../../streams/read/blob-blocks.js';
import { ChunkReader } from '../../../streams/read/chunk-reader.js';
import { readChunkInfo } from '../../../streams/read/chunk-info.js';
import { referenceFromTar } from '../../../streams/pipelines.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import { madeTar } from '../../support/tar/layers.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { collect, cutAt } from '../../support/stream/stage.js';
import { tarOf } from '../../support/tar/tar.js';

interface Referred {
  bootstrap: Bootstrap;
  /** the blob with the tables */
  tables: ReaderAt;
  chunks: readonly { path: string; chunk: StoredChunk }[];
}

/** The image of a gzip that stays as it is. */
const refer = async (layer: Buffer, chunkSize: number, cuts: number[] = []): Promise<Referred> => {
  await prepareCompressors();
  const stages = await referenceFromTar({
    compressor: 'gzip',
    digester: 'sha256',
    chunkSize,
    inlineMeta: false,
    blobToc: false,
    explicitUidGid: true,
    compression: 'gzip',
  });
  const parts = await collect<BytesPart, SectionPart | FinishPart | ImagePart>(
    stages,
    cutAt(layer, cuts),
  );
  const bytes = (artifact: SectionPart['artifact']): Buffer =>
    Buffer.concat(
      parts.flatMap(part =>
        part.kind === 'section' && part.artifact === artifact ? [part.bytes] : [],
      ),
    );
  const bootstrap = parseBootstrap(bytes('bootstrap'));
  const chunks = [...walk(bootstrap)].flatMap(({ path, inode, repeated }) =>
    inode.type !== 'file' || repeated
      ? []
      : [...bootstrap.chunks(inode)].map(chunk => ({ path, chunk })),
  );
  return { bootstrap, tables: readerOf(bytes('blob'), 'tables'), chunks };
};

const zranReaderOf = ({ bootstrap, tables }: Referred, layer: ReaderAt): ChunkReader =>
  new ChunkReader(bootstrap.blobs[0]!, layer, new BlobBlocks(), { tables });

const KINDS = {
  words: wordyBytes,
  random: randomBytes,
  zeros: (size: number): Buffer => Buffer.alloc(size),
} as const;

const file = fc.record({
  size: fc.oneof(
    { weight: 5, arbitrary: fc.nat(60_000) },
    { weight: 1, arbitrary: fc.nat(900_000) },
  ),
  kind: fc.constantFrom('words', 'random', 'zeros'),
});

/** How one member is compressed. */
const member = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  strategy: fc.constantFrom(
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FILTERED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
    constants.Z_FIXED,
  ),
  memLevel: fc.integer({ min: 1, max: 9 }),
  windowBits: fc.integer({ min: 9, max: 15 }),
  // 512: where the content of the first file begins
  cut: fc.oneof(fc.nat(), fc.constant(512)),
});

t.test('chunks in any order, of members of any kind', async t => {
  let contexts = 0;
  let read = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(file, { minLength: 1, maxLength: 20 }),
      fc.array(member, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(0x2000, 0x8000, 0x100000),
      fc.nat(),
      async (files, members, chunkSize, seed) => {
        const next = numbers(seed);
        const contents = files.map(({ size, kind }, i) => KINDS[kind](size, i));
        const tar = tarOf(contents.map((content, i) => ({ name: `f${i}`, content })));
        const cuts = [0, ...members.slice(1).map(({ cut }) => cut % tar.length), tar.length];
        cuts.sort((a, b) => a - b);
        const layer = Buffer.concat(
          members.map(({ cut: _cut, ...options }, i) =>
            gzipSync(tar.subarray(cuts[i], cuts[i + 1]), options),
          ),
        );
        const referred = await refer(layer, chunkSize, [next(layer.length), next(layer.length)]);
        const source = readerOf(layer, 'layer');
        let reader = zranReaderOf(referred, source);
        const left = [...referred.chunks];
        while (left.length > 0) {
          const [{ path, chunk }] = left.splice(next(left.length), 1) as [(typeof left)[number]];
          if (next(12) === 0) reader = zranReaderOf(referred, source); // that has nothing in memory
          const { fileOffset, uncompressedSize, digest } = chunk;
          const due = contents[Number(path.slice(1))]!.subarray(fileOffset).subarray(0, chunkSize);
          const bytes = await reader.read(chunk);
          if (bytes.length !== uncompressedSize || !bytes.equals(due)) throw new Error(path);
          if (!digest.equals(sha256(bytes))) throw new Error(`digest of ${path}`);
          read++;
        }
        const [blob] = referred.bootstrap.blobs;
        if (blob) contexts += (await readChunkInfo(referred.tables, blob)).contextCount;
      },
    ),
    { numRuns: 30 },
  );
  t.ok(read > 100 && contexts > 30, `${read} chunks, ${contexts} contexts`);
});

t.test('a chunk anywhere costs its context, and not the layer before it', async t => {
  const layer = gzipSync(madeTar('debian', { scale: 0.1, seed: 2 }), { level: 6 });
  const referred = await refer(layer, 0x100000);
  const table = await readChunkInfo(referred.tables, referred.bootstrap.blobs[0]!);
  t.ok(table.contextCount > 10, `${table.contextCount} contexts`);
  const reads: { offset: number; size: number }[] = [];
  const source: ReaderAt = {
    ...readerOf(layer, 'layer'),
    async read(offset, size) {
      reads.push({ offset, size });
      return layer.subarray(offset, offset + size);
    },
  };
  const next = numbers(3);
  let most = 0;
  let wrong = 0;
  for (let i = 0; i < 150; i++) {
    const { chunk } = referred.chunks[next(referred.chunks.length)]!;
    reads.length = 0;
    const bytes = await zranReaderOf(referred, source).read(chunk);
    if (!sha256(bytes).equals(chunk.digest)) wrong++;
    const { inOffset, inSize } = table.zran(table.chunk(chunk.index).zran!.context);
    for (const { offset, size } of reads) {
      if (offset < inOffset || offset + size > inOffset + inSize) wrong++;
    }
    most = Math.max(
      most,
      reads.reduce((sum, { size }) => sum + size, 0),
    );
  }
  t.equal(wrong, 0);
  t.ok(most < 0x200000 && most < layer.length / 4, `${most} of ${layer.length} bytes at most`);
});
