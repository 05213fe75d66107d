/** The ordinary image of a mixed index: the source's, with an empty layer in front. */
import { Annotation } from '../../lib/oci/annotations.js';
import { configBytes, EMPTY_LAYER_HISTORY } from '../../lib/oci/config.js';
import type { Descriptor } from '../../lib/oci/descriptor.js';
import { manifestBytes, type Manifest } from '../../lib/oci/manifest.js';
import { MediaType, ociType } from '../../lib/oci/media-types.js';
import type { ImageTarget } from '../transport/target.js';
import { putBytes, type SourceImage } from './convert-manifest.js';

/** A gzip of a tar without entries, byte for byte the one that other converters put there. */
const EMPTY_LAYER = Buffer.from('H4sIAAAAAAAA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=', 'base64');
const EMPTY_DIFF_ID = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';

/** Stores the manifest and its config; the other layers must be there. */
export const withEmptyLayer = async (
  { raw, manifest, config }: SourceImage,
  target: ImageTarget,
  signal: AbortSignal,
): Promise<Descriptor & { manifest: Manifest }> => {
  const empty = await putBytes(target, EMPTY_LAYER, signal);
  const bytes = configBytes(config, {
    diffIds: [EMPTY_DIFF_ID, ...config.diffIds],
    history: [EMPTY_LAYER_HISTORY, ...config.history],
  });
  const stored = await putBytes(target, bytes, signal);
  const layers = manifest.layers.map(layer => ({ ...layer, mediaType: ociType(layer.mediaType) }));
  const made: Manifest = {
    kind: 'manifest',
    mediaType: MediaType.MANIFEST,
    config: { mediaType: MediaType.CONFIG, ...stored },
    layers: [
      {
        mediaType: MediaType.LAYER_GZIP,
        ...empty,
        annotations: { [Annotation.EMPTY_LAYER]: 'true' },
      },
      ...layers,
    ],
    annotations: { ...manifest.annotations, [Annotation.SOURCE_DIGEST]: raw.digest },
  };
  return {
    ...(await target.putManifest(manifestBytes(made), MediaType.MANIFEST)),
    manifest: made,
    annotations: { [Annotation.SOURCE_DIGEST]: raw.digest },
  };
};
