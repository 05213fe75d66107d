import fc from 'fast-check';
import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { planBootstrap } from '../../../lib/bootstrap/plan.js';
import type { BootstrapOptions } from '../../../lib/bootstrap/bootstrap-options.js';
import { emitV6 } from '../../../lib/bootstrap/v6/emit.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { loadImage } from '../../../lib/image/load-image.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { hasExplicitOwners } from '../../../lib/bootstrap/settings.js';
import { altered, BOOTSTRAPS, failure, golden } from '../../support/images/golden.js';
import { imageOf, planOf, randomEntries } from '../../support/images/images.js';

await prepareDigests();

/** The image written anew from what was loaded of it. */
const again = (bootstrap: Bootstrap, more: Partial<BootstrapOptions> = {}): Buffer => {
  const { tree, chunks, blobs } = loadImage(bootstrap);
  const { pieces } = planBootstrap(tree, chunks, blobs.finish(undefined), {
    fsVersion: bootstrap.version,
    compressor: bootstrap.compressor,
    digester: bootstrap.digester,
    chunkSize: bootstrap.chunkSize,
    explicitUidGid: hasExplicitOwners(bootstrap.flags),
    tarfs: bootstrap.tarfs,
    ...more,
  });
  return Buffer.concat([...pieces]);
};

const names = (bootstrap: Bootstrap): string[] =>
  [...walk(bootstrap)].map(({ path, inode }) => `${path} ${inode.id} ${inode.mode} ${inode.size}`);

t.test('outputs of nydus-image are written again as they were', async t => {
  for (const name of BOOTSTRAPS) {
    const bytes = golden(name);
    const bootstrap = parseBootstrap(bytes);
    // a merged v6 image says that there are xattrs whether there are or not
    const hasXattrs = Math.floor(bootstrap.flags / 0x20) % 2 === 1;
    const made = again(bootstrap, {
      hasXattrs,
      prefetch: name === 'prefetch.fs' ? ['opt/app/data', 'bin/sh'] : [],
    });
    if (bootstrap.tarfs) {
      // the record of a tar has a file offset that readers do not get to see
      t.equal(made.length, bytes.length, name);
      t.same(names(parseBootstrap(made)), names(bootstrap), name);
    } else t.ok(made.equals(bytes), name);
  }
});

t.test('random images too', async () => {
  fc.assert(
    fc.property(
      randomEntries(30),
      fc.infiniteStream(fc.option(fc.nat(10), { nil: undefined })),
      (entries, stream) => {
        const repeats = (): number | undefined => stream.next().value as number | undefined;
        const image = imageOf(
          entries.map(entry => ({
            ...entry,
            // what a reader of v6 gets to see of the device number
            rdev: entry.type === 'char' || entry.type === 'block' ? entry.rdev : 0,
            ...(entry.target && entry.type === 'symlink'
              ? { target: entry.target.slice(0, 4096) }
              : {}),
          })),
          { repeats, blobCount: 2 },
        );
        if (image.blobs.some(({ chunkCount }) => chunkCount === 0)) return true;
        for (const blob of image.blobs) {
          blob.ciUncompressedSize = blob.ciCompressedSize = 16 * blob.chunkCount;
        }
        const bytes = Buffer.concat([...emitV6(planOf(image))]);
        return again(parseBootstrap(bytes)).equals(bytes);
      },
    ),
    { numRuns: 200 },
  );
});

t.test('an altered image ends in an image or a RafsError', async t => {
  for (const name of ['merge.v6', 'merge.v5', 'tarfs.kinds']) {
    let failed = 0;
    for (const bytes of altered(golden(name), 300)) {
      if (failure(() => again(parseBootstrap(bytes)))) failed++;
    }
    t.ok(failed > 30 && failed < 300, `${name}: ${failed} of 300 failed`);
  }
});
