/** Reads the files of an image, ordinary or Nydus, as a container would see them. */
import { createHash, type Hash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { located } from '../../lib/errors.js';
import type { ChunkPart, DataPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import { checkLayerType } from '../../lib/oci/media-types.js';
import { nodeOf, TreeBuilder, type ImageTree, type TreeNode } from '../../lib/oci/image-tree.js';
import type { Batch } from '../batch.js';
import { entriesFromTar } from '../pipelines.js';
import { blobReader } from '../read/blob-reader.js';
import { chunkVerifier } from '../read/chunk-verifier.js';
import type { BlobLocation } from '../image/blob-location.js';
import type { ImageSource } from '../transport/source.js';
import { openLayerSource } from '../transport/layer-source.js';
import { isNydus, openBlobs, readBootstrapLayer } from './nydus-image.js';
import type { SelectedImage } from '../convert/select-images.js';

/**
 * Every byte is read and compared with its digest.
 *
 * @param blobs where blobs of a Nydus image are that its manifest does not name
 */
export const readTree = (
  source: ImageSource,
  image: SelectedImage,
  signal: AbortSignal,
  blobs?: BlobLocation,
): Promise<ImageTree> =>
  isNydus(image.manifest)
    ? readNydusTree(source, image, signal, blobs)
    : readOrdinaryTree(source, image, signal);

type Part = EntryPart | DataPart | ChunkPart | EndPart;

/** Takes entries with their content; `add` says where an entry's facts go. */
const hashContents =
  (add: (part: EntryPart) => TreeNode | undefined) =>
  async (batches: AsyncIterable<Batch<Part>>): Promise<void> => {
    let node: TreeNode | undefined;
    let hash: Hash | undefined;
    for await (const batch of batches) {
      for (const part of batch) {
        if (part.kind === 'entry') {
          node = add(part);
          hash = node?.type === 'file' ? createHash('sha256') : undefined;
        } else if (part.kind === 'end') {
          if (node && hash) node.digest = hash.digest('hex');
        } else hash?.update(part.bytes);
      }
    }
  };

const readOrdinaryTree = async (
  source: ImageSource,
  { manifest }: SelectedImage,
  signal: AbortSignal,
): Promise<ImageTree> => {
  const builder = new TreeBuilder();
  for (const layer of manifest.layers) {
    checkLayerType(layer.mediaType, layer.digest);
    builder.beginLayer();
    const { stream, compression } = await openLayerSource(source, layer, signal);
    const take = hashContents(({ entry }) => builder.add(entry));
    try {
      await pipeline(stream, entriesFromTar({ compression }), take, { signal });
    } catch (error) {
      throw located(error, { layer: layer.digest });
    }
  }
  return builder.tree;
};

const readNydusTree = async (
  source: ImageSource,
  { manifest }: SelectedImage,
  signal: AbortSignal,
  elsewhere?: BlobLocation,
): Promise<ImageTree> => {
  await prepareDigests();
  const bootstrap = await readBootstrapLayer(source, manifest, signal);
  const open = await openBlobs(source, manifest, bootstrap, signal, elsewhere);
  const tree: ImageTree = new Map();
  const take = hashContents(({ entry }) => {
    const known = entry.type === 'hardlink' ? tree.get(entry.target ?? '') : undefined;
    const node = known ?? nodeOf(entry);
    tree.set(entry.path, node);
    return known ? undefined : node;
  });
  try {
    const { blobs, tables } = open;
    await pipeline(blobReader({ bootstrap, blobs, tables }), chunkVerifier({ bootstrap }), take, {
      signal,
    });
  } finally {
    await open.close();
  }
  return tree;
};
