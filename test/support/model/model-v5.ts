/** A v5 bootstrap by the words of the format: objects, recursion, and no plan before the bytes. */
import { createHash } from 'node:crypto';
import type { BlobInfo } from '../../../lib/model/blob.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';
import type { Entry } from '../../../lib/model/entry.js';
import { ModelTree, type ModelNode } from './model-tree.js';

interface Item {
  node: ModelNode;
  path: string;
  index: number;
  ino: number;
  parent: number;
  nlink: number;
  childIndex: number;
  children: Item[];
  digest: Buffer;
}

const TYPE: Readonly<Record<ModelNode['type'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
};

const sha256 = (...bytes: Buffer[]): Buffer =>
  createHash('sha256').update(Buffer.concat(bytes)).digest();

const number = (size: 2 | 4 | 8, value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes.subarray(0, size);
};

/** Bytes with zeros up to a multiple of 8. */
const pad = (...bytes: Buffer[]): Buffer => {
  const joined = Buffer.concat(bytes);
  return Buffer.concat([joined, Buffer.alloc((8 - (joined.length % 8)) % 8)]);
};

export interface ModelImage {
  root: ModelNode;
  placed: readonly PlacedChunk[];
  blobs: readonly BlobInfo[];
  chunkSize: number;
  flags: number;
  prefetch?: readonly string[];
  /** paths of what a tar made a hardlink, or linked to */
  linked: ReadonlySet<string>;
}

/** All of a bootstrap; digests are sha256. */
export const modelV5 = (image: ModelImage): Buffer => {
  const items = numbered(image.root);
  const top = items[0]!;
  digestAll(top, image.placed);

  const inodeTable = Buffer.alloc(Math.ceil(items.length / 2) * 8);
  const inos = (image.prefetch ?? [])
    .map(path => items.find(item => `/${item.path}` === path))
    .filter(item => item && !(item.node.type === 'file' && item.node.content.size === 0))
    .map(item => item!.ino);
  const prefetchTable = pad(...inos.map(ino => number(4, ino)));
  const ids = image.blobs.map(({ id, readaheadSize = 0 }) =>
    Buffer.concat([number(4, 0), number(4, readaheadSize), Buffer.from(id)]),
  );
  const blobTable = pad(...ids.map((id, i) => (i === 0 ? id : Buffer.concat([Buffer.of(0), id]))));
  const extended = image.blobs.map(blob =>
    Buffer.concat([
      number(4, blob.chunkCount),
      number(4, blob.features),
      number(8, blob.uncompressedSize),
      number(8, blob.compressedSize),
      Buffer.alloc(40),
    ]),
  );
  const tables = Buffer.concat([inodeTable, prefetchTable, blobTable, ...extended]);

  const records: Buffer[] = [];
  let end = 8192 + tables.length;
  const dump = (item: Item): void => {
    tables.writeUInt32LE(end / 8, 4 * (item.index - 1));
    const bytes = record(item, image);
    records.push(bytes);
    end += bytes.length;
    item.children.forEach(dump);
  };
  dump(top);

  const xattrs = items.some(({ node }) => node.content.xattrs.size > 0);
  const prefetchOffset = 8192 + inodeTable.length;
  const blobOffset = prefetchOffset + prefetchTable.length;
  const head = Buffer.concat([
    Buffer.from('SFAR'),
    number(4, 0x500),
    number(4, 8192),
    number(4, image.chunkSize),
    number(8, image.flags + (xattrs ? 0x20 : 0)),
    number(8, new Set(items.map(({ ino }) => ino)).size),
    number(8, 8192),
    number(8, prefetchOffset),
    number(8, blobOffset),
    number(4, items.length),
    number(4, inos.length),
    number(4, blobTable.length),
    number(4, image.blobs.length),
    number(8, blobOffset + blobTable.length),
  ]);
  return Buffer.concat([head, Buffer.alloc(8192 - head.length), tables, ...records]);
};

const numbered = (root: ModelNode): Item[] => {
  const items: Item[] = [];
  const names = new Map<unknown, Item[]>();
  const add = (node: ModelNode, path: string, parent: number): Item => {
    const index = items.length + 1;
    const rest = { childIndex: 0, children: [], digest: sha256() };
    const item: Item = { node, path, index, ino: index, parent, nlink: 1, ...rest };
    items.push(item);
    if (node.type !== 'directory') {
      const all = [...(names.get(node.content) ?? []), item];
      names.set(node.content, all);
      item.ino = all[0]!.index;
      for (const one of all) one.nlink = all.length;
    }
    return item;
  };
  const visit = (directory: Item): void => {
    directory.childIndex = items.length + 1;
    const nodes = [...directory.node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const prefix = directory.path === '' ? '' : `${directory.path}/`;
    directory.children = nodes.map(node => add(node, prefix + node.name, directory.ino));
    const directories = directory.children.filter(({ node }) => node.type === 'directory');
    directory.nlink = 2 + directories.length;
    directories.forEach(visit);
  };
  visit(add(root, '', 0));
  return items;
};

const digestAll = (item: Item, placed: readonly PlacedChunk[]): void => {
  const { type, content } = item.node;
  item.children.forEach(child => digestAll(child, placed));
  if (type === 'directory') item.digest = sha256(...item.children.map(({ digest }) => digest));
  if (type === 'symlink') item.digest = sha256(Buffer.from(content.target!, 'latin1'));
  if (type === 'file') {
    item.digest = sha256(...content.chunks.map(row => placed[row as number]!.digest));
  }
};

const record = (item: Item, { placed, chunkSize, linked }: ModelImage): Buffer => {
  const { node } = item;
  const { content, type } = node;
  const name = Buffer.from(node.name || '/', 'latin1');
  const target = Buffer.from(type === 'symlink' ? content.target! : '', 'latin1');
  const pairs = [...content.xattrs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) =>
      Buffer.concat([number(4, key.length + 1 + value.length), Buffer.from(`${key}\0`), value]),
    );
  const area = pad(...pairs);
  const xattrSize = pairs.reduce((sum, pair) => sum + pair.length, 0);
  let size = content.size;
  if (type === 'directory') {
    const sum = item.children.reduce((sum, child) => sum + child.node.name.length + 8, 0);
    size = Math.max(1, Math.ceil(sum / 4096)) * 4096;
  }
  const chunks = type === 'file' ? content.chunks.map(row => placed[row as number]!) : [];
  const flags =
    (type === 'symlink' ? 1 : 0) + (linked.has(item.path) ? 2 : 0) + (pairs.length > 0 ? 4 : 0);
  return Buffer.concat([
    item.digest,
    number(8, item.parent),
    number(8, item.ino),
    number(4, node.uid),
    number(4, node.gid),
    number(4, 0),
    number(4, TYPE[type] + (node.mode & 0o7777)),
    number(8, size),
    number(8, Math.ceil((size + area.length) / 512)),
    number(8, flags),
    number(4, item.nlink),
    number(4, item.childIndex),
    number(4, type === 'directory' ? item.children.length : chunks.length),
    number(2, name.length),
    number(2, target.length),
    number(4, node.rdev),
    number(4, node.mtimeNsec),
    number(8, node.mtime),
    number(8, 0),
    pad(name),
    pad(target),
    ...(pairs.length > 0 ? [number(8, xattrSize), area] : []),
    ...chunks.flatMap((chunk, i) => [
      chunk.digest,
      number(4, chunk.blobIndex),
      number(4, 0x10 + (chunk.compressed ? 1 : 0)),
      number(4, chunk.compressedSize),
      number(4, chunk.uncompressedSize),
      number(8, chunk.compressedOffset),
      number(8, chunk.uncompressedOffset),
      number(8, i * chunkSize),
      number(4, chunk.index),
      number(4, chunk.crc32),
    ]),
  ]);
};

/** What is left of the hardlinks that a tar made, after all its entries. */
export const linkedPaths = (entries: Iterable<Entry>): Set<string> => {
  const model = new ModelTree();
  const linked = new Set<ModelNode>();
  for (const entry of entries) {
    const target = entry.type === 'hardlink' ? model.find(entry.target!) : undefined;
    const node = model.insert(entry);
    if (typeof node === 'string') continue;
    linked.delete(node);
    if (target) linked.add(target).add(node);
  }
  return new Set([...model.all()].filter(([, node]) => linked.has(node)).map(([path]) => path));
};
