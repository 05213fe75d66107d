/**
 * The library by which containerd converts images calls us as its builder: images of several layers,
 * laid over each other, with a dictionary, and as containerd converts them.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { temporaryDirectory } from '../support/process/fs.js';
import { fileDigest, GoBench, isSound, NO_DATA, type Packed } from '../support/peers/go-bench.js';

const bench = new GoBench(t);

const text = (words: string): string => createHash('sha256').update(words).digest('hex');

/** What the layers `lower` and `upper` make. */
const STACK = {
  'dir-1': undefined,
  ...Object.fromEntries(
    [2, 3, 4, 5, 6, 7, 8, 9].map(i => [`dir-1/file-${i}`, text(`lower-file-${i}`)]),
  ),
  'dir-2': undefined,
  'dir-2/file-2': text('upper-file-2'),
  'dir-2/file-3': text('upper-file-3'),
};

for (const version of ['5', '6']) {
  bench.test(`v${version}: layers over each other`, async t => {
    const options = { FsVersion: version };
    const packed = [];
    for (const name of ['directories', 'lower', 'upper']) {
      packed.push(await bench.packed(t, name, options));
    }
    const [directories, lower, upper] = packed as [Packed, Packed, Packed];

    const merged = await bench.merge(t, [lower, upper]);
    t.same(merged.digests, [lower.digest, upper.digest]);
    await isSound(t, merged.file);
    const tree = await bench.tree(t, merged.file, packed);
    t.match(tree, STACK);
    const names = [...Object.keys(STACK), 'dir-2/file-1'].sort();
    t.same(Object.keys(tree).sort(), names, 'and nothing else');

    const first = await bench.merge(t, [lower]);
    const onParent = await bench.merge(t, [upper], { ParentBootstrap: first.file });
    t.same(onParent.digests, [lower.digest, upper.digest], 'the blobs of the parent come first');
    t.same(await bench.tree(t, onParent.file, packed), tree, 'over a parent the same');

    const all = await bench.merge(t, packed);
    t.same(all.digests, [lower.digest, upper.digest], 'without data there is no blob');
    const allOf = await bench.tree(t, all.file, packed);
    t.same(allOf, { ...tree, a: undefined, 'a/b': undefined, c: undefined });

    const tarred = await bench.merge(t, packed, { ...options, WithTar: true, warns: true });
    const tables = version === '6' ? [lower, upper] : [];
    const bootstrap = await bench.bootstrapIn(t, tarred.file, tables);
    t.equal(fileDigest(bootstrap), fileDigest(all.file), 'in a tar the same');
    t.not(directories.digest, lower.digest);
  });
}

for (const version of ['5', '6']) {
  bench.test(`v${version}: a dictionary`, async t => {
    const options = { FsVersion: version };
    const dict = await bench.packed(t, 'dict', options);
    const known = await bench.merge(t, [dict]);
    const withDict = { ...options, ChunkDict: known.file };
    const lower = await bench.packed(t, 'lower', withDict);
    const upper = await bench.packed(t, 'upper', withDict);
    t.match(upper.commands, `--chunk-dict bootstrap=${known.file}`);
    t.ok(fs.statSync(upper.file).size < 0x10000, 'what is known is not stored');
    await bench.checkSections(t, lower, {
      toc: version === '6',
      // the table of a blob of others is in that blob
      without: NO_DATA,
    });
    const merged = await bench.merge(t, [lower, upper], { ChunkDict: known.file });
    t.same(merged.digests, [dict.digest, upper.digest], 'of the lower layer all is known');
    await isSound(t, merged.file);
    t.match(await bench.tree(t, merged.file, [dict, lower, upper]), STACK);
  });
}

/** The layers of an image, lowest first. */
const stackOf = () => Promise.all(['directories', 'lower', 'upper'].map(name => bench.layer(name)));
const pathsOf = (layers: readonly { file: string }[]) => layers.map(({ file }) => ({ Path: file }));

for (const FsVersion of ['5', '6']) {
  bench.test(`v${FsVersion}: an image as containerd converts it, there and back`, async t => {
    const sources = await stackOf();
    const Layers = pathsOf(sources);
    const WorkDir = temporaryDirectory(t);
    const { Image } = await bench.does(
      t,
      { Op: 'image', WorkDir, FsVersion, Layers },
      { warns: true },
    );
    const { Converted, Reconverted } = Image!;
    t.equal(Converted.Layers.length, sources.length + 1);
    for (const { digest, mediaType } of Converted.Layers.slice(0, -1)) {
      t.equal(mediaType, 'application/vnd.oci.image.layer.nydus.blob.v1');
      t.ok(fs.existsSync(path.join(WorkDir, 'store/blobs', digest.replace(':', '/'))), digest);
    }
    t.match(Converted.Layers.at(-1)!.annotations, {
      'containerd.io/snapshot/nydus-bootstrap': 'true',
      'containerd.io/snapshot/nydus-fs-version': FsVersion,
    });
    t.equal(Converted.DiffIDs.length, sources.length + 1);
    const digests = sources.map(({ digest }) => digest);
    t.same(
      Reconverted.Layers.map(layer => layer.digest),
      digests,
      'the layers as they were',
    );
    t.same(Reconverted.DiffIDs, digests);
  });
}

bench.test('an image of layers that are only referred to', async t => {
  const sources = await stackOf();
  const WorkDir = temporaryDirectory(t);
  const gzip = await bench.layer('mixed', true);
  const plain = await bench.layer('mixed');
  const layers = [...pathsOf(sources), { Path: gzip.file, Original: plain.digest }];
  const request = { WorkDir, FsVersion: '6', OCIRef: true, Layers: layers } as const;
  const { Image } = await bench.does(t, { Op: 'image', ...request }, { warns: true });
  t.same(
    Image!.Converted.Layers.slice(0, -1).map(
      ({ annotations }) => annotations['containerd.io/snapshot/nydus-ref'],
    ),
    [...sources, gzip].map(({ digest }) => digest),
  );
});
