import fc from 'fast-check';
import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { planBootstrap } from '../../../lib/bootstrap/plan.js';
import { externalImage, type ExternalImageOptions } from '../../../lib/image/external-image.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import type { ExternalPart } from '../../../lib/model/parts.js';
import type { ExternalExtent } from '../../../lib/model/entry.js';
import type { Entry } from '../../../lib/model/entry.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import { entryOf } from '../../support/images/entries.js';
import { golden } from '../../support/images/golden.js';

await prepareDigests();

const ROOT = { mode: 0o40755, uid: 1, gid: 2, mtime: 0, mtimeNsec: 0, size: 0, rdev: 0 };
const MIB = 0x100000;
const idOf = (index: number): string => `${index}`.repeat(64);

const placeOf = (more: Partial<ExternalExtent> = {}): ExternalExtent => ({
  blobIndex: 0,
  blobId: idOf(more.blobIndex ?? 0),
  blobSize: 100 * MIB,
  chunkSize: MIB,
  offset: 0,
  crcs: [],
  ...more,
});

const file = (path: string, size: number, place: Partial<ExternalExtent> = {}): ExternalPart => ({
  kind: 'external',
  entry: entryOf('file', path, { size }),
  place: placeOf(place),
});
const other = (entry: Entry): ExternalPart => ({ kind: 'external', entry });

/** The image as it is read again, once all of it was found good. */
const made = (parts: ExternalPart[], more: Partial<ExternalImageOptions> = {}): Bootstrap => {
  const options: ExternalImageOptions = {
    fsVersion: 6,
    digester: 'sha256',
    chunkSize: MIB,
    explicitUidGid: true,
    whiteoutSpec: 'oci',
    ...more,
  };
  const { tree, chunks, blobs, chunkSize } = externalImage(ROOT, parts, options);
  const plan = planBootstrap(tree, chunks, blobs, { ...options, compressor: 'zstd', chunkSize });
  const bootstrap = parseBootstrap(Buffer.concat([...plan.pieces]));
  for (const visit of verify(bootstrap)) void visit;
  return bootstrap;
};

const chunksOf = (bootstrap: Bootstrap, path: string) => {
  for (const visit of walk(bootstrap)) {
    if (visit.path === path) return [...bootstrap.chunks(visit.inode)];
  }
  throw new Error(`no ${path}`);
};

t.test('without external files it has a root and no blobs', async t => {
  for (const fsVersion of [5, 6] as const) {
    const bootstrap = made([], { fsVersion });
    const [root, ...rest] = walk(bootstrap);
    t.same(rest, []);
    t.match(root!.inode, { mode: 0o40755, uid: 1, gid: 2 });
    t.same(bootstrap.blobs, []);
    t.equal(bootstrap.chunkSize, MIB);
  }
});

t.test('the chunks of a file lie one behind another, as they are', async t => {
  const crcs = [7, 8, 9];
  for (const fsVersion of [5, 6] as const) {
    const bootstrap = made([file('f', 2 * MIB + 5, { offset: 4096, crcs })], { fsVersion });
    t.match(
      chunksOf(bootstrap, 'f').map(chunk => ({ ...chunk, digest: chunk.digest.toString('hex') })),
      [MIB, MIB, 5].map((size, i) => ({
        digest: '0'.repeat(64),
        blobIndex: 0,
        index: i,
        fileOffset: i * MIB,
        compressedOffset: 4096 + i * MIB,
        uncompressedOffset: 4096 + i * MIB,
        compressedSize: size,
        uncompressedSize: size,
        compressed: false,
        crc32: crcs[i],
      })),
    );
    t.match(bootstrap.blobs[0], {
      id: idOf(0),
      chunkCount: 3,
      compressedSize: 100 * MIB,
      uncompressedSize: 100 * MIB,
      features: fsVersion === 5 ? 0x4000_0800 : 0x4000_0801,
    });
  }
});

t.test('v6 has chunks in blocks, wherever they lie in the blob', async t => {
  const parts = [
    file('a', MIB + 10, { offset: 512, blobSize: 3 * MIB + 1 }),
    file('b', 10, { offset: 4096, blobSize: 3 * MIB + 1 }),
    file('c', 10, { offset: 8192, blobIndex: 1, blobSize: 9000 }),
  ];
  const bootstrap = made(parts);
  const places = ['a', 'b', 'c'].flatMap(path =>
    chunksOf(bootstrap, path).map(chunk => [chunk.compressedOffset, chunk.uncompressedOffset]),
  );
  t.same(places, [
    [512, 0],
    [512 + MIB, MIB],
    [4096, MIB + 4096],
    [8192, 8192],
  ]);
  t.same(
    bootstrap.blobs.map(blob => [blob.compressedSize, blob.uncompressedSize]),
    [
      [3 * MIB + 1, MIB + 8192],
      [9000, 12288],
    ],
  );
  const direct = made(parts, { fsVersion: 5 });
  t.equal(chunksOf(direct, 'a')[0]!.uncompressedOffset, 512, 'v5 knows no blocks');
});

t.test('one chunk size for all files: the smallest that they are listed with', async t => {
  const sizeOf = (...sizes: number[]): number =>
    made(sizes.map((chunkSize, i) => file(`${i}`, 5 * MIB, { chunkSize }))).chunkSize;
  t.equal(sizeOf(4 * MIB), 4 * MIB);
  t.equal(sizeOf(64 * MIB, 4 * MIB), 4 * MIB);
  t.equal(sizeOf(64 * MIB), 16 * MIB, 'the largest that there is');
  t.equal(sizeOf(4096, 0x10000), 4096);
  for (const odd of [1_000_000, 3 * MIB, 2048, 24 * MIB]) t.equal(sizeOf(odd), MIB, `${odd}`);

  const crcs = [1, 2, 3];
  const bootstrap = made([
    file('large', 6 * MIB, { chunkSize: 4 * MIB, crcs }),
    file('small', MIB - 1, { chunkSize: 4 * MIB, crcs }),
    file('equal', 2 * MIB, { crcs }),
  ]);
  const crcsOf = (path: string) => chunksOf(bootstrap, path).map(({ crc32 }) => crc32);
  t.equal(bootstrap.chunkSize, MIB);
  t.same(crcsOf('large'), Array.from({ length: 6 }), 'of other bytes');
  t.same(crcsOf('small'), [1], 'of all bytes, as before');
  t.same(crcsOf('equal'), [1, 2]);
});

t.test('names of one file share its chunks', async t => {
  for (const fsVersion of [5, 6] as const) {
    const bootstrap = made(
      [file('z', 10), other(entryOf('hardlink', 'b', { target: 'z' })), file('c', 20)],
      { fsVersion },
    );
    // in v5 each name has records of its own, with the same chunks
    const placed = (path: string) =>
      chunksOf(bootstrap, path).map(one => ({ ...one, recordAt: 0 }));
    t.same(placed('b'), placed('z'));
    t.equal(chunksOf(bootstrap, 'c')[0]!.index, 1);
    t.equal(bootstrap.blobs[0]!.chunkCount, 2);
  }
});

t.test('what has no content has no place', async t => {
  const bootstrap = made([
    other(entryOf('directory', 'd')),
    other(entryOf('file', 'd/empty')),
    other(entryOf('symlink', 'd/link', { target: 'empty' })),
  ]);
  t.same(
    [...walk(bootstrap)].map(({ path }) => path),
    ['', 'd', 'd/empty', 'd/link'],
  );
  t.same(bootstrap.blobs, []);
});

t.test('over a parent: its tree, and its blobs first', async t => {
  const lower = { bootstrap: parseBootstrap(golden('layer.layer-0.v6')) };
  const count = lower.bootstrap.blobs.length;
  const parts = (blobIndex: number): ExternalPart[] => [file('new', 10, { blobIndex })];
  const { digester } = lower.bootstrap;
  const bootstrap = made(parts(count), { lower, digester });
  t.same(
    bootstrap.blobs.map(({ id }) => id),
    [...lower.bootstrap.blobs.map(({ id }) => id), idOf(count)],
  );
  const paths = [...walk(bootstrap)].map(({ path }) => path);
  t.same(paths, [...[...walk(lower.bootstrap)].map(({ path }) => path), 'new'].sort());
  t.throws(() => made(parts(0), { lower, digester }), {
    code: 'CORRUPT',
    message: /external blob 0 belongs to the parent, which has 1 blobs/,
  });
});

t.test('blobs that make no table are refused', async t => {
  const refused: [parts: ExternalPart[], message: RegExp][] = [
    [[file('a', 1, { blobIndex: 1 })], /external blob 0 has no file, but blob 1 has/],
    [[file('a', 1), file('b', 1, { blobId: idOf(5) })], /external blob 0 is both/],
    [[file('a', 1), file('b', 1, { blobSize: 5 })], /external blob 0 is both/],
    [[file('a', 1), file('b', 1, { blobIndex: 1, blobId: idOf(0) })], /two blobs have the id/],
  ];
  for (const [parts, message] of refused) {
    t.throws(() => made(parts), { code: 'CORRUPT', message });
  }
});

t.test('the order in which files come makes no difference', async t => {
  const parts = ['a', 'b', 'c', 'd'].map((path, i) =>
    file(path, 1 + i * 3000, { offset: i * 10_000, blobIndex: i % 2 }),
  );
  const due = JSON.stringify(made(parts).blobs);
  const chunks = (bootstrap: Bootstrap) => 'abcd'.split('').map(path => chunksOf(bootstrap, path));
  const dueChunks = chunks(made(parts));
  fc.assert(
    fc.property(fc.shuffledSubarray(parts, { minLength: parts.length }), order => {
      const bootstrap = made(order);
      t.equal(JSON.stringify(bootstrap.blobs), due);
      t.same(chunks(bootstrap), dueChunks);
    }),
    { numRuns: 20 },
  );
});
