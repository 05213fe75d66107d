/** Makes the image's bootstrap of those of its layers. */
import { blobElsewhere } from '../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { located } from '../../lib/errors.js';
import { Merger, type Merged } from '../../lib/image/merge.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { parseDigest } from '../../lib/oci/descriptor.js';
import type { ConvertedLayer } from './convert-layer.js';

/** Parses one layer's bootstrap at a time: only that one is held beside the merged result. */
export const mergeLayers = async (
  layers: readonly ConvertedLayer[],
  { prefetch, dict }: { prefetch: readonly string[]; dict?: Bootstrap | undefined },
): Promise<Merged> => {
  await Promise.all([prepareDigests(), prepareCompressors()]);
  const merger = new Merger(dict ? { dict } : {});
  for (const { source, blob, bootstrap: image, tocDigest } of layers) {
    const hex = parseDigest(blob.digest).hex;
    const original = parseDigest(source.digest).hex;
    try {
      const bootstrap = parseBootstrap(image);
      for (const record of bootstrap.blobs) {
        const kin = record.features & (BlobFeature.INLINED_FS_META | BlobFeature.SEPARATE);
        // a blob that holds its bootstrap cannot hold its own id
        if (kin === BlobFeature.INLINED_FS_META) record.id = hex;
        else if (kin !== 0) record.metaFile = hex;
      }
      const own = tocDigest
        ? {
            id: original,
            keepsId: false,
            digest: Buffer.from(hex, 'hex'),
            size: blob.size,
            tocDigest,
          }
        : { id: hex, keepsId: false };
      merger.add({
        bootstrap,
        blobs: bootstrap.blobs.map(blobElsewhere),
        own,
        path: source.digest,
      });
    } catch (error) {
      throw located(error, { layer: source.digest });
    }
  }
  return merger.finish({ prefetch });
};
