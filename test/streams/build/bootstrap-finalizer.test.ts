import { BlobFile } from '../../../lib/blob/blob-file.js';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import chain from 'stream-chain';
import fc from 'fast-check';
import t from 'tap';
import { blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { loadChunkDict } from '../../../lib/image/chunk-dict.js';
import type { Compressor } from '../../../lib/layout/compressors.js';
import type { Digester } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { loadImage } from '../../../lib/image/load-image.js';
import { Merger } from '../../../lib/image/merge.js';
import type { FinishPart, ImagePart, SectionPart } from '../../../lib/model/parts.js';
import type { Entry } from '../../../lib/model/entry.js';
import { blobWriter } from '../../../streams/build/blob-writer.js';
import { bootstrapFinalizer } from '../../../streams/build/bootstrap-finalizer.js';
import { chunker } from '../../../streams/build/chunker.js';
import { compressor } from '../../../streams/build/compressor.js';
import { digester } from '../../../streams/build/digester.js';
import { buildLayer, partsOfEntries } from '../../support/images/build-layer.js';
import { partsOf } from '../../support/images/entries.js';
import { layerEntries } from '../../support/model/model-layers.js';
import { ModelTree } from '../../support/model/model-tree.js';
import { collect } from '../../support/stream/stage.js';

type Out = SectionPart | FinishPart | ImagePart;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const artifact = (parts: Out[], name: string): Buffer =>
  Buffer.concat(
    parts.flatMap(part => (part.kind === 'section' && part.artifact === name ? [part.bytes] : [])),
  );

/** The small tree whose image nydus-image was seen to make. */
const TREE = [
  ...partsOf('directory', '', { mtime: 1 }),
  ...partsOf('file', 'a', { mtime: 2, content: Buffer.from('hello\n') }),
  ...partsOf('directory', 'd', { mode: 0o700, mtime: 3 }),
  ...partsOf('file', 'd/b', {
    mode: 0o600,
    mtime: 4,
    content: Buffer.from(Array.from({ length: 5120 }, (_, i) => i % 256)),
  }),
  ...partsOf('symlink', 'd/s', { mode: 0o777, mtime: 5, target: '../a' }),
  ...partsOf('hardlink', 'h', { mode: 0o640, mtime: 6, target: 'a' }),
];

const build = async (
  options: {
    compressor?: Compressor;
    digester?: Digester;
    inlineMeta?: boolean;
    blobToc?: boolean;
  } = {},
  batch = 1,
): Promise<Out[]> => {
  const all = {
    compressor: 'none',
    digester: 'sha256',
    inlineMeta: false,
    blobToc: false,
    chunkSize: 0x100000,
    explicitUidGid: true,
    ...options,
  } as const;
  const file = new BlobFile();
  const stages = chain([
    chunker(all),
    await digester({ algorithm: all.digester }),
    await compressor({ ...all, workers: 0 }),
    blobWriter({ ...all, file }),
    bootstrapFinalizer({ ...all, file }),
  ]);
  return collect(stages, TREE, { batch });
};

const KNOWN = [
  {
    compressor: 'none',
    digester: 'sha256',
    blob: '1fe298556f1ff92e96a1f2edb353df7669f96fa44aa90d34ebc44541b7dc9557',
    bootstrap: 'a0e9f492a8be40de610070d67af94908deb509f036290d8780bbc07b80fb1e6f',
  },
  {
    compressor: 'none',
    digester: 'blake3',
    blob: '1fe298556f1ff92e96a1f2edb353df7669f96fa44aa90d34ebc44541b7dc9557',
    bootstrap: '992acb186523aa239a2d06873807589155b61f04d1a84f91d1fcabcbcebb91c9',
  },
  {
    compressor: 'zstd',
    digester: 'sha256',
    blob: 'ca1772c26907016b4ed060cb61cdc4a9429eee95305b25a4e7775fb8e5e0f06f',
    bootstrap: 'bc37f94c07c45fa7a015db3cc0f49cb90f2ee4c2a43ce64dfdad0b058406c45f',
  },
  {
    compressor: 'lz4_block',
    digester: 'sha256',
    blob: '9a65d076279f8496bdeeeb3dff703546f009ee50419668cd32ba4b70424de694',
    bootstrap: 'b3bf4af76c47c7f3a646969519bb7da994cc42383871b077fde94ebbb3c8f583',
  },
] as const;

for (const { blob, bootstrap, ...options } of KNOWN) {
  t.test(`the image of a small tree, ${options.compressor}, ${options.digester}`, async t => {
    for (const batch of [1, 3, 100]) {
      const parts = await build(options, batch);
      t.equal(sha256(artifact(parts, 'blob')), blob);
      t.equal(sha256(artifact(parts, 'bootstrap')), bootstrap);
      const names = parts.flatMap(part => (part.kind === 'finish' ? [part.name] : []));
      t.same(names, [blob, bootstrap]);
    }
  });
}

t.test('an inlined bootstrap and a TOC: the id is not the sha256 of the file', async t => {
  const parts = await build({ compressor: 'none', inlineMeta: true, blobToc: true });
  t.equal(
    sha256(artifact(parts, 'blob')),
    'bdcdda621978a71520c948367f421ffd477222abb4c0fade0394cdffbfdecc64',
  );
  t.match(
    parts.filter(part => part.kind === 'finish'),
    [{ name: 'ef12bec5a8a48692a8995c7184bf888e84b1c2b23acdc0d2748a09a21926283f' }],
  );
});

/** All that a user of the image sees: names, attributes, and content by its digests. */
const seen = (bootstrap: Bootstrap): string[] => {
  const first = new Map<number, string>();
  return [...walk(bootstrap)].map(({ path, inode }) => {
    const { id, type, mode, uid, gid, mtime, nlink } = inode;
    if (!first.has(id)) first.set(id, path);
    const xattrs = [...bootstrap.xattrs(inode)].map(
      ([name, value]) => `${name}=${value.toString()}`,
    );
    const chunks = [...bootstrap.chunks(inode)].map(({ digest }) => digest.toString('hex'));
    const target = type === 'symlink' ? bootstrap.symlinkTarget(inode) : '';
    return JSON.stringify([
      path,
      first.get(id),
      type,
      mode,
      uid,
      gid,
      mtime,
      nlink,
      target,
      xattrs,
      chunks,
    ]);
  });
};

/**
 * Names of one file share its inode in v6: a layer's own bootstrap gives 'b' the attributes that its
 * other name had, also where that is a whiteout, or below one, and not there once layers are laid
 * over others.
 */
const isWhiteout = ({ path }: Entry): boolean => /(?:^|\/)\.wh\./.test(path);
const isLinkedWhiteout = ({ type, path, target }: Entry): boolean =>
  type === 'hardlink' && [path, target].some(name => /(?:^|\/)\.wh\./.test(name ?? ''));

for (const fsVersion of [6, 5] as const) {
  t.test(`layers built on one another are their merge, v${fsVersion}`, async t => {
    await fc.assert(
      fc.asyncProperty(fc.array(layerEntries, { minLength: 1, maxLength: 4 }), async stack => {
        const merger = new Merger();
        let chained: Bootstrap | undefined;
        for (const [n, entries] of stack.entries()) {
          const model = new ModelTree();
          const parts = partsOfEntries(
            entries.filter(
              entry =>
                !isLinkedWhiteout(entry) &&
                !(n === 0 && isWhiteout(entry)) &&
                typeof model.insert(entry) !== 'string',
            ),
          );
          const { bootstrap } = await buildLayer(parts, { fsVersion });
          merger.add({
            bootstrap,
            blobs: bootstrap.blobs.map(blobElsewhere),
            own: { id: '', keepsId: true },
            path: `layer ${n}`,
          });
          const lower: ReturnType<typeof loadImage> | undefined = chained && loadImage(chained);
          const before = chained?.blobs.map(({ id }) => id) ?? [];
          const built = await buildLayer(parts, { fsVersion, lower });
          chained = built.bootstrap;
          t.same(built.image.blobs.slice(0, before.length), before, 'blobs below come first');
        }
        const { pieces } = merger.finish({ prefetch: [] }).bootstrap;
        const merged = parseBootstrap(Buffer.concat([...pieces]));
        assert.deepEqual(seen(chained!), seen(merged)); // one that throws is made smaller
      }),
      { numRuns: 150 },
    );
  });
}

const fileOf = (name: string, text: string) =>
  partsOf('file', name, { content: Buffer.from(text) });

t.test('a blob that is made again is in the table once', async t => {
  // the first "a" is stored and replaced: nothing below refers to its chunk
  const lower = await buildLayer([...fileOf('a', 'one'), ...fileOf('a', '')]);
  const built = await buildLayer(fileOf('a', 'one'), { lower: loadImage(lower.bootstrap) });
  t.same(
    built.bootstrap.blobs.map(({ id }) => id),
    lower.bootstrap.blobs.map(({ id }) => id),
  );
  const digests = [...walk(built.bootstrap)].flatMap(({ inode }) =>
    [...built.bootstrap.chunks(inode)].map(({ digest }) => digest.toString('hex')),
  );
  t.same(digests, [sha256(Buffer.from('one'))]);
});

t.test('nothing is stored that the image below or a dictionary has', async t => {
  const lower = await buildLayer([...fileOf('a', 'one'), ...fileOf('b', 'two')]);
  const dict = await buildLayer([...fileOf('x', 'three'), ...fileOf('y', 'two')]);
  const built = await buildLayer(
    [...fileOf('c', 'four'), ...fileOf('d', 'three'), ...fileOf('e', 'one'), ...fileOf('f', 'two')],
    { lower: loadImage(lower.bootstrap), dict: loadChunkDict(dict.bootstrap, 'sha256') },
  );
  const blobOf = (name: string): number => {
    for (const { path, inode } of walk(built.bootstrap)) {
      if (path === name)
        for (const { blobIndex } of built.bootstrap.chunks(inode)) return blobIndex;
    }
    return -1;
  };
  t.equal(built.bootstrap.blobs.length, 3);
  t.equal(built.image.blobs[0], lower.image.blobs[0]);
  t.equal(built.image.blobs[2], dict.image.blobs[0]);
  t.same(
    ['a', 'b', 'c', 'd', 'e', 'f'].map(blobOf),
    [0, 0, 1, 2, 0, 2],
    'a dictionary is asked first',
  );
  t.equal(built.blob.subarray(0, 4).toString(), 'four');
  t.equal(built.bootstrap.blobs[1]!.chunkCount, 1);
});

t.test('a layer without new data has no blob of its own', async t => {
  const lower = await buildLayer(fileOf('a', 'one'));
  const built = await buildLayer(fileOf('b', 'one'), { lower: loadImage(lower.bootstrap) });
  t.same(built.image.blobs, lower.image.blobs);
  t.equal(built.blob.length, 0);
  t.same(
    [...walk(built.bootstrap)].map(({ path }) => path),
    ['', 'a', 'b'],
  );
});

t.test('the image of external files repeats the one below', async t => {
  const lower = await buildLayer([
    ...partsOf('directory', '', { mode: 0o700 }),
    ...fileOf('a', 'one'),
  ]);
  const built = await buildLayer(
    [...partsOf('directory', '', { mode: 0o711 }), ...fileOf('.wh.a', ''), ...fileOf('b', 'two')],
    { lower: loadImage(lower.bootstrap), external: true },
  );
  const names = (bootstrap: Bootstrap): string[] => [...walk(bootstrap)].map(({ path }) => path);
  const external = parseBootstrap(built.external);
  t.same(names(built.bootstrap), ['', 'b']);
  t.same(names(external), ['', 'a']);
  t.equal(external.inode(external.rootId).mode & 0o777, 0o711);
  t.same(built.image.externalBlobs, lower.image.blobs);
});
