/** Images of random layers, and what a merge of them must be. */
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { emitV6 } from '../../../lib/bootstrap/v6/emit.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import type { Entry } from '../../../lib/model/entry.js';
import { imageOf, planOf } from './images.js';
import type { Flat } from '../model/model-layers.js';
import type { ModelTree } from '../model/model-tree.js';

export interface LayerImage {
  bootstrap: Bootstrap;
  /** content of a file lists its chunks as blob id and index */
  model: ModelTree;
  blobId: string;
}

export interface LayerImageOptions {
  tarfs?: boolean;
  /** of the n-th chunk, which earlier one it is */
  repeats?: (n: number) => number | undefined;
}

/** The image of a layer; what of the entries makes no sense is left out. */
export const layerImage = (
  entries: readonly Entry[],
  n: number,
  { tarfs = false, repeats = () => undefined }: LayerImageOptions = {},
): LayerImage => {
  const image = imageOf(entries, { tarfs, repeats });
  const blobId = String(n).padStart(64, 'a');
  for (const blob of image.blobs) {
    blob.id = blobId;
    blob.ciUncompressedSize = blob.ciCompressedSize = tarfs ? 0 : 16 * blob.chunkCount;
    if (tarfs) blob.features = 0x4000_0040;
  }
  const model = image.model;
  const listed = new Set<unknown>();
  for (const [, { content }] of model.all()) {
    if (listed.has(content)) continue;
    listed.add(content);
    // the rows are indexes: there is one blob
    content.chunks = content.chunks.map(row => `${blobId} ${String(row)}`);
  }
  const bytes = Buffer.concat([...emitV6(planOf(image))]);
  return { bootstrap: parseBootstrap(bytes), model, blobId };
};

const TYPE_BITS = 0o170000;

/** Where an image is not what the map says, if anywhere. */
export const imageDifference = (bootstrap: Bootstrap, flat: Flat): string | undefined => {
  const inodes = new Map<unknown, number>();
  const byInode = new Map<number, unknown>();
  let count = 0;
  for (const { path, inode } of walk(bootstrap)) {
    count++;
    const node = flat.get(path);
    if (!node) return `'${path}' should not be there`;
    if (inode.type !== node.type) return `type of '${path}'`;
    const owner = inodes.get(node.content);
    if (node.type === 'file') {
      if (owner !== undefined && owner !== inode.id) return `names of '${path}'`;
      if (owner === undefined && byInode.has(inode.id)) return `'${path}' shares an inode`;
      inodes.set(node.content, inode.id);
      byInode.set(inode.id, node.content);
      const chunks = [...bootstrap.chunks(inode)].map(
        chunk => `${bootstrap.blobs[chunk.blobIndex]!.id} ${chunk.index}`,
      );
      if (chunks.join() !== node.content.chunks.join()) return `chunks of '${path}'`;
      if (inode.size !== node.content.size) return `size of '${path}'`;
    } else {
      // of a file with several names its last one decides
      if ((inode.mode & ~TYPE_BITS) !== node.mode) return `mode of '${path}'`;
      for (const key of ['uid', 'gid', 'mtime'] as const) {
        if (inode[key] !== node[key]) return `${key} of '${path}'`;
      }
    }
    if (node.type === 'symlink' && bootstrap.symlinkTarget(inode) !== node.content.target) {
      return `target of '${path}'`;
    }
    const pairs = (xattrs: ReadonlyMap<string, Buffer>): string =>
      [...xattrs]
        .map(([name, value]) => `${name}=${value.toString('hex')}`)
        .sort()
        .join();
    if (pairs(bootstrap.xattrs(inode)) !== pairs(node.content.xattrs)) return `xattrs of '${path}'`;
  }
  return count === flat.size ? undefined : `${count} names, not ${flat.size}`;
};
