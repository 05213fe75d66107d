import fc from 'fast-check';
import t, { type Test } from 'tap';
import { blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import type { RafsError } from '../../../lib/errors.js';
import { SuperBlockV5, V5 } from '../../../lib/layout/rafs-v5.js';
import { u32 } from '../../../lib/layout/struct.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { loadImage } from '../../../lib/image/load-image.js';
import { Merger, type OwnBlob } from '../../../lib/image/merge.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import type { BlobInfo } from '../../../lib/model/blob.js';
import { entryOf } from '../../support/images/entries.js';
import { altered, failure, golden } from '../../support/images/golden.js';
import { imageDifference, layerImage, type LayerImage } from '../../support/images/layer-images.js';
import { flatten, layerEntries } from '../../support/model/model-layers.js';

await prepareDigests();

const KEEP: OwnBlob = { id: 'unused', keepsId: true };

type MergerOptions = ConstructorParameters<typeof Merger>[0];

const merged = (
  layers: readonly Bootstrap[],
  { own = () => KEEP, ...options }: MergerOptions & { own?: (n: number) => OwnBlob } = {},
): { image: Bootstrap; blobs: readonly BlobInfo[]; bytes: Buffer } => {
  const merger = new Merger(options);
  for (const [n, bootstrap] of layers.entries()) {
    const blobs = bootstrap.blobs.map(blobElsewhere);
    merger.add({ bootstrap, blobs, own: own(n), path: `layer ${n}` });
  }
  const { bootstrap, blobs } = merger.finish({ prefetch: [] });
  const bytes = Buffer.concat([...bootstrap.pieces]);
  return { image: parseBootstrap(bytes), blobs, bytes };
};

const file = (path: string, size = 4096) => entryOf('file', path, { size });
const directory = (path: string) => entryOf('directory', path);

const stack = fc.array(layerEntries, { minLength: 1, maxLength: 5 });

/** Blobs of the chunks that are left, in the order in which the walk of an image first meets them. */
const firstUse = (image: Bootstrap): string[] => {
  const ids = new Set<string>();
  const walkIn = (id: number, parentId: number): void => {
    const children = [...image.children(image.inode(id), parentId)].map(child =>
      image.inode(child.id),
    );
    for (const inode of children) {
      if (inode.type !== 'file') continue;
      for (const chunk of image.chunks(inode)) ids.add(image.blobs[chunk.blobIndex]!.id);
    }
    for (const inode of children) if (inode.type === 'directory') walkIn(inode.id, id);
  };
  walkIn(image.rootId, image.rootId);
  return [...ids];
};

for (const tarfs of [false, true]) {
  t.test(
    `a merge of random layers${tarfs ? ' of tars' : ''} is what a map of paths says`,
    async () => {
      fc.assert(
        fc.property(
          stack,
          fc.infiniteStream(fc.option(fc.nat(6), { nil: undefined })),
          (stack, stream) => {
            const repeats = (): number | undefined =>
              tarfs ? undefined : (stream.next().value as number | undefined);
            const layers = stack.map((entries, n) => layerImage(entries, n, { tarfs, repeats }));
            const { image, blobs } = merged(layers.map(({ bootstrap }) => bootstrap));
            const wrong = imageDifference(
              image,
              flatten(
                layers.map(({ model }) => model),
                'oci',
                { keeps: false },
              ),
            );
            if (wrong) throw new Error(wrong);
            const ids = blobs.map(({ id }) => id);
            const due = firstUse(image);
            if (tarfs) due.sort();
            if (ids.join() !== due.join()) throw new Error(`blobs ${ids.join()}`);
          },
        ),
        { numRuns: tarfs ? 200 : 1000 },
      );
    },
  );
}

t.test('the lowest layers as a parent give the same image', async () => {
  fc.assert(
    fc.property(stack, fc.nat(4), (stack, cut) => {
      const layers = stack.map((entries, n) => layerImage(entries, n).bootstrap);
      const lower = layers.slice(0, cut % layers.length);
      const upper = layers.slice(lower.length);
      const whole = merged(layers);
      const parent = lower.length > 0 ? merged(lower).image : undefined;
      const both = merged(upper, parent ? { parent: loadImage(parent) } : {});
      return both.bytes.equals(whole.bytes);
    }),
    {
      numRuns: 200,
      examples: [
        // the only blob is lost below the cut, and above it
        [[[file('c', 1)], [file('c', 0)], []], 2],
        [[[], [file('a')], [], [file('a', 0)], []], 4],
        [[[], [file('a')], [file('a', 0)]], 1],
      ],
    },
  );
});

const lowest = (): LayerImage => layerImage([directory('a'), file('a/x'), file('b')], 0);

t.test('blobs of which no file is left are not listed', async t => {
  const layers = [
    lowest(),
    layerImage([file('.wh.b'), directory('a'), file('.wh.a', 0), file('c')], 1),
  ];
  const { blobs, image } = merged(layers.map(({ bootstrap }) => bootstrap));
  t.same(
    blobs.map(({ id }) => id),
    [layers[1]!.blobId],
  );
  t.same(
    image.blobs.map(({ id }) => id),
    [layers[1]!.blobId],
  );
});

t.test('what the caller knows of the blobs', async t => {
  const bootstrap = lowest().bootstrap;
  const one = (own: OwnBlob): BlobInfo => merged([bootstrap], { own: () => own }).blobs[0]!;
  const digest = Buffer.alloc(32, 0xcd);
  t.equal(one({ id: 'named', keepsId: false }).id, 'named');
  t.equal(one({ id: 'named', keepsId: true }).id, bootstrap.blobs[0]!.id);
  t.equal(one({ id: 'named', keepsId: false, digest }).id, 'cd'.repeat(32));
  t.match(one({ ...KEEP, size: 7, tocDigest: digest, tocSize: 9 }), {
    compressedSize: 7,
    tocDigest: digest,
    tocSize: 9,
    metaSize: 0,
  });
  const zran = parseBootstrap(golden('zran.kinds'));
  t.match(merged([zran], { own: () => ({ ...KEEP, digest, size: 7 }) }).blobs[0]!, {
    id: zran.blobs[0]!.id,
    metaDigest: digest,
    metaSize: 7,
    compressedSize: zran.blobs[0]!.compressedSize,
  });
  const tar = layerImage([file('a')], 1, { tarfs: true });
  t.equal(
    merged([tar.bootstrap], { own: () => ({ id: 'layer', keepsId: false }) }).blobs[0]!.id,
    tar.blobId,
    'layers of tars know their ids',
  );
});

t.test('two blobs under one id are refused', async t => {
  const layers = [lowest(), layerImage([file('c')], 1)].map(({ bootstrap }) => bootstrap);
  const own = (): OwnBlob => ({ id: 'layer', keepsId: false });
  t.throws(() => merged(layers, { own }), { code: 'UNSUPPORTED', message: /'layer'/ });
  t.equal(merged([layers[0]!, layers[0]!], { own }).blobs.length, 1, 'one blob twice is not');
});

/** That a merge fails, with this code and message. */
const refuses = (t: Test, code: string, message: RegExp, work: () => unknown): void => {
  t.throws(work, { name: 'RafsError', code, message });
};

t.test('layers that cannot be one image', async t => {
  const v6 = parseBootstrap(golden('layer.layer-0.v6'));
  const v5 = parseBootstrap(golden('merge.v5'));
  const tar = parseBootstrap(golden('tarfs.kinds'));
  const many = parseBootstrap(golden('merge.v6'));
  const small = lowest().bootstrap;
  refuses(t, 'INCONSISTENT', /RAFS version V6, target RAFS version Ok\(V5\)/, () =>
    merged([v6, v5]),
  );
  refuses(t, 'INCONSISTENT', /chunk_size: 1048576 vs 4096/, () => merged([v6, small]));
  refuses(t, 'INCONSISTENT', /TARFS mode/, () => merged([v6, tar]));
  refuses(t, 'INCONSISTENT', /chunk_size/, () => merged([small], { dict: v6 }));
  refuses(t, 'INCONSISTENT', /chunk_size/, () => merged([small], { parent: loadImage(v6) }));
  refuses(t, 'UNSUPPORTED', /having multiple associated data blobs/, () => merged([many]));
  t.equal(merged([many], { dict: many }).blobs.length, many.blobs.length, 'a dictionary may');
  refuses(t, 'UNSUPPORTED', /TARFS mode conflicts with `--parent-bootstrap`/, () =>
    merged([tar], { parent: loadImage(tar) }),
  );
  refuses(t, 'UNSUPPORTED', /TARFS mode conflicts with `--chunk-dict`/, () =>
    merged([tar], { dict: tar }),
  );
  refuses(t, 'USAGE', /no layers/, () => merged([]));
});

t.test('what is made of an altered layer is sound, or it is refused', async t => {
  for (const name of ['tar-rafs.kinds.lz4_block.v5', 'layer.layer-0.v6']) {
    let made = 0;
    for (const bytes of altered(golden(name), 300)) {
      const bootstrap = failure(() => parseBootstrap(bytes)) ? undefined : parseBootstrap(bytes);
      if (!bootstrap || failure(() => merged([bootstrap]))) continue;
      made++;
      const { image } = merged([bootstrap]);
      t.equal(
        failure(() => [...verify(image)]),
        undefined,
        name,
      );
    }
    t.ok(made > 20 && made < 290, `${name}: ${made} of 300`);
  }
});

t.test('damage in a v5 layer is not hidden by new digests', async t => {
  const bytes = Buffer.from(golden('tar-rafs.kinds.lz4_block.v5'));
  const { inodeTableOffset } = SuperBlockV5.decode(bytes);
  const root = u32.read(bytes, inodeTableOffset) * V5.ALIGN;
  bytes.writeUInt8(bytes.readUInt8(root) ^ 1, root);
  refuses(t, 'MISMATCH', /digest/, () => merged([parseBootstrap(bytes)]));
});

t.test('an altered layer over a good one ends in an image or a RafsError', async t => {
  const good = parseBootstrap(golden('layer.layer-0.v6'));
  let failed = 0;
  for (const bytes of altered(golden('layer.layer-0.v6'), 300)) {
    const error: RafsError | undefined = failure(() => merged([good, parseBootstrap(bytes)]));
    if (error) failed++;
  }
  t.ok(failed > 30 && failed < 300, `${failed} of 300 failed`);
});
