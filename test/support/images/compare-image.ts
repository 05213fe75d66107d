/** What an image must say of the layer it was made of, by the rules of the format. */
import type { WalkedImage } from '../peers/erofs-walker.js';
import { walkOrder, type ImageCase } from './images.js';
import type { ModelContent, ModelNode } from '../model/model-tree.js';

const TYPE: Readonly<Record<ModelNode['type'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
};

/** The first difference between what the walker saw and the model of the layer, if any. */
export const differenceOf = (
  walked: WalkedImage,
  { model, placed, blobs, options }: ImageCase,
): string | undefined => {
  const all = [...walkOrder(model.root)];
  if (walked.entries.size !== all.length) return `${walked.entries.size} paths of ${all.length}`;
  if (walked.inodeCount !== all.length) return `inode count ${walked.inodeCount}`;
  if (walked.chunkSize !== options.chunkSize) return 'chunk size';
  const owners = new Map<
    ModelContent,
    { names: number; ino: number; last: ModelNode; nid: number }
  >();
  all.forEach(([path, node], i) => {
    if (node.type === 'directory') return;
    const found = owners.get(node.content);
    if (found) {
      found.names++;
      found.last = node;
    } else {
      const nid = walked.entries.get(path)!.nid;
      owners.set(node.content, { names: 1, ino: i + 1, last: node, nid });
    }
  });
  const nids = new Set<number>();
  for (const [i, [path, node]] of all.entries()) {
    const got = walked.entries.get(path);
    if (!got) return `'${path}' is missing`;
    const owner = node.type === 'directory' ? undefined : owners.get(node.content)!;
    // an inode of several names has the attributes of the last of them
    const from = owner?.last ?? node;
    const due = {
      type: TYPE[node.type],
      mode: from.mode,
      uid: from.uid,
      gid: from.gid,
      mtime: from.mtime,
      mtimeNsec: from.mtimeNsec,
      ino: owner?.ino ?? i + 1,
      nlink:
        owner?.names ??
        2 + [...node.children.values()].filter(({ type }) => type === 'directory').length,
      target: node.type === 'symlink' ? node.content.target : undefined,
    };
    for (const [key, value] of Object.entries(due)) {
      const found = got[key as keyof typeof due];
      if (found !== value) return `${key} of '${path}': ${String(found)}, not ${String(value)}`;
    }
    if (owner ? owner.nid !== got.nid : nids.has(got.nid)) return `nid of '${path}'`;
    nids.add(got.nid);
    const pairs = (xattrs: ReadonlyMap<string, Buffer>): string =>
      [...xattrs]
        .map(([name, value]) => `${name}=${value.toString('hex')}`)
        .sort()
        .join();
    if (pairs(got.xattrs) !== pairs(node.content.xattrs)) return `xattrs of '${path}'`;
    if (node.type === 'directory') {
      const names = [...node.children.keys(), '.', '..'].sort((a, b) => (a < b ? -1 : 1));
      if (got.names!.join('/') !== names.join('/')) return `names of '${path}'`;
    } else if (node.type === 'file') {
      if (got.size !== node.content.size) return `size of '${path}'`;
      const list = node.content.chunks.map(row => {
        const chunk = placed[row as number]!;
        const { blobIndex, index, uncompressedOffset } = chunk;
        return [blobIndex, index, uncompressedOffset / walked.blockSize];
      });
      const found = got.chunks!.map(({ blobIndex, index, blkaddr }) => [blobIndex, index, blkaddr]);
      if (JSON.stringify(found) !== JSON.stringify(list)) return `chunks of '${path}'`;
    } else if (node.type === 'symlink') {
      if (got.size !== node.content.target!.length) return `size of '${path}'`;
    } else if (got.union1 !== node.rdev) return `device of '${path}'`;
  }
  if (walked.blobIds.join() !== blobs.map(({ id }) => id).join()) return 'blob table';
  if (walked.devices.map(({ id }) => id).join() !== blobs.map(({ id }) => id).join())
    return 'devices';
  return undefined;
};

/** The records that the chunk table must have: digest and index of each, in order. */
export const chunkRecordsOf = ({ model, placed }: ImageCase): string[] => {
  const records = new Map<string, string>();
  for (const [, node] of walkOrder(model.root)) {
    if (node.type !== 'file') continue;
    for (const row of node.content.chunks) {
      const { digest, blobIndex, index } = placed[row as number]!;
      const key = `${digest.toString('hex')} ${blobIndex}`;
      records.set(key, `${key} ${index}`);
    }
  }
  return [...records.keys()].sort().map(key => records.get(key)!);
};
