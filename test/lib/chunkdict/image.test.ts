import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { loadChunkDict } from '../../../lib/image/chunk-dict.js';
import { planChunkDict, type DictBlob, type DictSettings } from '../../../lib/chunkdict/image.js';
import type { ChunkRow } from '../../../lib/chunkdict/rows.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import { blobInfo } from '../../support/images/chunks.js';
import { chunkRow, digestOf, rowsOf } from '../../support/images/chunkdict.js';
import { failure } from '../../support/images/golden.js';

await prepareDigests();
const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const SETTINGS: DictSettings = {
  version: 6,
  compressor: 'zstd',
  digester: 'sha256',
  chunkSize: 0x2000,
  explicitUidGid: true,
};

/** Chunks of a blob, one behind the other; a known index is their place. */
const chunks = (blobId: string, sizes: readonly number[], more: Partial<ChunkRow> = {}) => {
  let uncompressedOffset = 0;
  let compressedOffset = 0;
  return sizes.map((size, index): ChunkRow => {
    const compressedSize = Math.ceil(size / 2);
    const row = chunkRow({
      ...{ blobId, content: `${blobId} ${index}`, uncompressedSize: size, compressedSize },
      ...{ uncompressedOffset, compressedOffset, index, flags: 0x11, ...more },
    });
    uncompressedOffset += Math.ceil(size / 4096) * 4096;
    compressedOffset += compressedSize;
    return row;
  });
};

const blob = (id: string, chunkCount: number, more: Partial<DictBlob> = {}): DictBlob => {
  const info = blobInfo({
    ...{
      id,
      chunkSize: 0x2000,
      chunkCount,
      compressor: 3,
      uncompressedSize: 0xa000,
      compressedSize: 0xa000,
    },
    ciUncompressedSize: 16 * chunkCount,
  });
  return {
    id,
    compressedSize: 0xa000,
    uncompressedSize: 0xa000,
    compressor: 'zstd',
    ciCompressedSize: 16 * chunkCount,
    ciUncompressedSize: 16 * chunkCount,
    ciOffset: 0,
    info,
    ...more,
  };
};

const plan = (
  list: readonly ChunkRow[],
  blobs: readonly DictBlob[],
  settings: Partial<DictSettings> = {},
) => {
  const planned = planChunkDict(
    rowsOf(list),
    new Set(blobs.map(({ id }) => id)),
    new Map(blobs.map(known => [known.id, known])),
    { ...SETTINGS, ...settings },
  );
  const image = parseBootstrap(Buffer.concat([...planned.bootstrap.pieces]));
  for (const visit of verify(image)) void visit; // throws where anything is wrong
  return { ...planned, image };
};

const filesOf = (image: Bootstrap): string[] =>
  [...walk(image)].flatMap(({ path, inode }) =>
    inode.type === 'file'
      ? [`${path} ${[...image.chunks(inode)].map(({ uncompressedSize: n }) => n).join()}`]
      : [],
  );

t.test('files are as large as their chunks allow', async t => {
  for (const version of [5, 6] as const) {
    const sizes = [0x2000, 0x2000, 100, 5000, 0x2000];
    const { image, warnings, chunkCount } = plan(chunks(A, sizes), [blob(A, 5)], { version });
    t.same(warnings, []);
    t.equal(chunkCount, 5);
    t.same(filesOf(image), [
      'chunkdict/00000000 8192,8192,100',
      'chunkdict/00000001 5000',
      'chunkdict/00000002 8192',
    ]);
    t.match(image.inode(image.rootId), { mode: 0o40660, uid: 1000, gid: 1000 });
  }
});

t.test('as a dictionary it has every chunk, with its place and flags', async t => {
  for (const version of [5, 6] as const) {
    const list = [...chunks(B, [0x2000, 300]), ...chunks(A, [4096, 0x2000, 7])];
    const { image, blobs } = plan([...list, ...list], [blob(A, 3), blob(B, 2)], { version });
    t.same(
      blobs.map(({ id }) => id),
      [A, B],
    );
    t.ok(blobs.every(({ features }) => features & BlobFeature.IS_CHUNKDICT_GENERATED));
    const dict = loadChunkDict(image, 'sha256');
    t.equal(dict.count, 5);
    const row = dict.find(digestOf(`${A} 1`), 0x2000);
    t.same(
      [dict.chunks.index, dict.chunks.compressedOffset, dict.chunks.uncompressedOffset].map(
        column => column.get(row),
      ),
      [1, 2048, 4096],
    );
    t.equal(dict.chunks.flags.get(row), 0x11);
  }
});

t.test('indexes are those of the blob, even where chunks of it are missing', async t => {
  const list = chunks(A, [4096, 4096, 4096, 4096]).filter((_, n) => n !== 1);
  const { image } = plan(list, [blob(A, 4)]);
  const dict = loadChunkDict(image, 'sha256');
  t.equal(dict.chunks.index.get(dict.find(digestOf(`${A} 3`), 4096)), 3);
});

t.test('without the words of the image: only a whole blob with a plain table', async t => {
  const bare = chunks(A, [4096, 5000, 10]).map(({ index: _i, flags: _f, ...row }) => row);
  const { info: _, ...known } = blob(A, 3);
  const { image, blobs } = plan(bare, [known]);
  t.match(blobs[0], {
    chunkCount: 3,
    features: BlobFeature.CAP_TAR_TOC + BlobFeature.ALIGNED + BlobFeature.IS_CHUNKDICT_GENERATED,
    uncompressedSize: 4 * 4096,
    ciCompressor: 0,
  });
  const dict = loadChunkDict(image, 'sha256');
  const row = dict.find(digestOf(`${A} 2`), 10);
  t.equal(dict.chunks.index.get(row), 2);
  t.equal(dict.chunks.flags.get(row), 0x11);

  for (const [why, list, ciUncompressedSize] of [
    ['a chunk is missing', bare.slice(1), 48],
    ['its table is of another format', bare, 72],
  ] as const) {
    const left = plan(list, [{ ...known, ciUncompressedSize }]);
    t.same(left.blobs, [], why);
    t.match(left.warnings, [/too little is known/], why);
  }
  // the image's words, but rows of another time without theirs: right only if all are there
  t.equal(plan(bare, [blob(A, 3)]).blobs.length, 1);
  t.match(plan(bare.slice(1), [blob(A, 3)]).warnings, [/too little is known/]);
});

t.test('blobs that do not go into one image are left out', async t => {
  const list = [...chunks(A, [0x2000, 5]), ...chunks(B, [100, 200])];
  const small = plan(list, [blob(A, 2), blob(B, 2)]);
  t.same(small.warnings, [`Blob with id '${B}' is smaller than 4096 bytes.`]);
  t.same(
    small.blobs.map(({ id }) => id),
    [A],
  );
  const info = blob(A, 2).info!;
  for (const [change, why] of [
    [{ digester: 0 }, /digest algorithm/],
    [{ chunkSize: 0x1000 }, /chunk size is 4096/],
  ] as const) {
    const other = plan(list, [blob(A, 2, { info: { ...info, ...change } })]);
    t.same(other.blobs, []);
    t.match(other.warnings, [why]);
    t.same(filesOf(other.image), []);
  }
});

t.test('rows that contradict each other or the blob', async t => {
  const good = chunks(A, [4096, 4096]);
  const refused = (change: Partial<ChunkRow>) =>
    t.match(
      failure(() => plan([good[0]!, { ...good[1]!, ...change }], [blob(A, 2)])),
      { code: 'CORRUPT', at: { blob: A } },
      JSON.stringify(change),
    );
  refused({ index: 0 });
  refused({ index: 2 });
  refused({ uncompressedOffset: 4097 });
  refused({ uncompressedSize: 0 });
  refused({ uncompressedSize: 0x2001 });
});

t.test('nothing wanted: an empty image', async t => {
  const { image, blobs, chunkCount } = plan([], []);
  t.same(blobs, []);
  t.equal(chunkCount, 0);
  t.same(
    [...walk(image)].map(({ path }) => path),
    [''],
  );
});
