/** Where a v6 image has its inodes, by the rules of the format, one directory after another. */
import { alignUp } from '../../../lib/layout/align.js';
import type { ModelContent, ModelNode } from './model-tree.js';

/** The allocator in the words of the format: a cursor, and queues of blocks by free units. */
export class ModelSpace {
  off = 4096;
  readonly avail: number[][];
  readonly blockSize: number;

  constructor(blockSize: number) {
    this.blockSize = blockSize;
    this.avail = Array.from({ length: blockSize / 32 + 1 }, () => []);
  }

  align(unit: number): void {
    this.off = alignUp(this.off, unit);
  }

  append(size: number): number {
    this.off += size;
    return this.off - size;
  }

  give(offset: number): void {
    const used = offset % this.blockSize;
    if (used !== 0) this.avail[Math.floor((this.blockSize - used) / 32)]!.push(offset - used);
  }

  take(size: number): number {
    if (size >= this.blockSize) return 0;
    const low = Math.ceil(size / 32);
    for (let k = low; k < this.blockSize / 32; k++) {
      const block = this.avail[k]!.shift();
      if (block === undefined) continue;
      const offset = block + this.blockSize - 32 * k;
      this.give(offset + 32 * low);
      return offset;
    }
    return 0;
  }
}

export interface ModelExtent {
  offset: number;
  /** of directories and symlinks */
  data: number;
  ino: number;
  layout: number;
}

export const modelLayout = (
  root: ModelNode,
  { chunkSize, blockSize }: { chunkSize: number; blockSize: number },
): Map<ModelNode, ModelExtent> => {
  const space = new ModelSpace(blockSize);
  const places = new Map<ModelNode, ModelExtent>();
  const firstNames = new Map<ModelContent, ModelExtent>();
  let next = 2;

  const inodeSize = ({ content: { xattrs } }: ModelNode): number => {
    if (xattrs.size === 0) return 64;
    let size = 64 + 12;
    for (const [name, value] of xattrs) {
      const prefix = /^(user\.|trusted\.|security\.|system\.posix_acl_(access|default))/.exec(
        name,
      )![0];
      size += alignUp(4 + name.length - prefix.length + value.length, 4);
    }
    return size;
  };

  const direntsSize = (directory: ModelNode): number => {
    const names = ['.', '..', ...directory.children.keys()].sort((a, b) => (a < b ? -1 : 1));
    let size = 0;
    for (const name of names) {
      const length = 12 + name.length;
      if ((size % blockSize) + length > blockSize || (size > 0 && size % blockSize === 0)) {
        size = alignUp(size, blockSize);
      }
      size += length;
    }
    return size;
  };

  /** @param split whether whole blocks may lie apart from an inline tail */
  const placeFlat = (node: ModelNode, size: number, split: boolean): Omit<ModelExtent, 'ino'> => {
    const isize = inodeSize(node);
    const tail = size % blockSize;
    let offset: number;
    if (tail !== 0 && isize + tail <= blockSize && (split || tail === size)) {
      offset = space.take(isize + tail);
      if (offset === 0) {
        if (blockSize - (space.off % blockSize) < isize + tail) {
          space.give(space.off);
          space.align(blockSize);
        }
        offset = space.append(isize + tail);
      }
      if (size !== tail) {
        space.give(space.off);
        space.align(blockSize);
      }
      return { offset, data: space.append(size - tail), layout: 2 };
    }
    offset = space.take(isize) || space.append(isize);
    space.give(space.off);
    space.align(blockSize);
    const data = space.append(size);
    space.align(blockSize);
    return { offset, data, layout: 0 };
  };

  const place = (node: ModelNode, ino: number): void => {
    const { content } = node;
    const first = firstNames.get(content);
    let found: ModelExtent;
    if (first) found = first;
    else if (node.type === 'symlink') {
      found = { ...placeFlat(node, content.target!.length, false), ino };
    } else if (node.type === 'file') {
      const size = alignUp(inodeSize(node), 8) + 8 * Math.ceil(content.size / chunkSize);
      const offset = space.take(size) || space.append(size);
      found = { offset, data: 0, ino, layout: 4 };
    } else found = { offset: space.append(inodeSize(node)), data: 0, ino, layout: 0 };
    firstNames.set(content, found);
    places.set(node, found);
  };

  const numbers = new Map<ModelNode, number>([[root, 1]]);
  const lay = (directory: ModelNode): void => {
    const flat = placeFlat(directory, direntsSize(directory), true);
    places.set(directory, { ...flat, ino: numbers.get(directory)! });
    space.align(32);
    const children = [...directory.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const child of children) {
      numbers.set(child, next++);
      if (child.type === 'directory') continue;
      place(child, numbers.get(child)!);
      space.align(32);
    }
    for (const child of children) if (child.type === 'directory') lay(child);
  };
  lay(root);
  return places;
};
