/**
 * A small reader of files in EROFS images with full compression indexes, as the documentation of
 * EROFS describes them. It shares no layout with the code under test, and stops at what is wrong.
 */
import { decompress } from '../../../lib/compress/compressors.js';

const wrong = (what: string): never => {
  throw new Error(what);
};

export interface ReadInode {
  layout: number;
  mode: number;
  nlink: number;
  size: number;
  union1: number;
  content: Buffer;
}

export class CompressedReader {
  readonly #image: Buffer;
  readonly #algorithm: 'lz4_block' | 'zstd';

  constructor(image: Buffer) {
    this.#image = image;
    if (image.readUInt32LE(1024) !== 0xe0f5e1e2) wrong('magic');
    if (image[1024 + 12] !== 12) wrong('block size');
    if (image.readUInt32LE(1024 + 36) * 4096 !== image.length) wrong('blocks');
    if (image.readUInt32LE(1024 + 80) !== 3) wrong('features');
    const algorithms = image.readUInt16LE(1024 + 84);
    this.#algorithm = algorithms === 1 ? 'lz4_block' : algorithms === 8 ? 'zstd' : wrong('which');
    const size = image.readUInt16LE(1152);
    if (size !== (algorithms === 1 ? 14 : 6)) wrong('configuration');
  }

  get rootNid(): number {
    return this.#image.readUInt16LE(1024 + 14);
  }

  inode(nid: number): ReadInode {
    const at = nid * 32;
    const image = this.#image;
    const format = image.readUInt16LE(at);
    if ((format & 1) !== 1) wrong('a compact inode');
    const layout = format >> 1;
    const icount = image.readUInt16LE(at + 2);
    const isize = 64 + (icount === 0 ? 0 : 12 + 4 * (icount - 1));
    const size = Number(image.readBigUInt64LE(at + 8));
    const union1 = image.readUInt32LE(at + 16);
    let content: Buffer = Buffer.alloc(0);
    if (layout === 0) content = image.subarray(union1 * 4096, union1 * 4096 + size);
    else if (layout === 2) {
      const whole = size - (size % 4096);
      const tailAt = at + isize;
      if (Math.floor(tailAt / 4096) !== Math.floor((tailAt + size - whole - 1) / 4096)) {
        wrong('a tail in two blocks');
      }
      content = Buffer.concat([
        image.subarray(union1 * 4096, union1 * 4096 + whole),
        image.subarray(tailAt, tailAt + size - whole),
      ]);
    } else if (layout === 1) content = this.#packed(Math.ceil((at + isize) / 8) * 8, size, union1);
    else wrong(`layout ${layout}`);
    if (content.length !== size) wrong(`${content.length} bytes of ${size}`);
    const mode = image.readUInt16LE(at + 4);
    return { layout, mode, nlink: image.readUInt32LE(at + 44), size, union1, content };
  }

  #packed(mapAt: number, size: number, blocks: number): Buffer {
    const image = this.#image;
    if (image.readUInt16LE(mapAt + 4) !== 2) wrong('advise');
    if (image[mapAt + 6] !== (this.#algorithm === 'zstd' ? 3 : 0)) wrong('algorithm');
    if (image[mapAt + 7] !== 0) wrong('cluster size');
    const count = Math.ceil(size / 4096);
    const entry = (i: number) => {
      const at = mapAt + 16 + 8 * i;
      return {
        type: image.readUInt16LE(at),
        clusterOffset: image.readUInt16LE(at + 2),
        blkaddr: image.readUInt32LE(at + 4),
        back: image.readUInt16LE(at + 4),
        on: image.readUInt16LE(at + 6),
      };
    };
    const content: Buffer[] = [];
    let used = 0;
    for (let i = 0; i < count;) {
      const head = entry(i);
      const start = i * 4096 + head.clusterOffset;
      if (head.type === 0) {
        if (head.clusterOffset !== 0) {
          // only where the file ends
          if (start !== size || i !== count - 1) wrong('an end inside');
          break;
        }
        content.push(image.subarray(head.blkaddr * 4096, head.blkaddr * 4096 + 4096));
        used++;
        i++;
        continue;
      }
      if (head.type !== 1 || head.clusterOffset !== 0) wrong('a head');
      let next = i + 1;
      let physical = 1;
      while (next < count && entry(next).type === 2) {
        const { back, on } = entry(next);
        if (next === i + 1) {
          if ((back & 0x800) === 0) wrong('no size');
          physical = back & 0x7ff;
        } else if (back !== next - i) wrong('the way back');
        const heads = entry(next + on);
        if (next + on < count && heads.type === 2) wrong('the way on');
        if (next + on > count) wrong('a way on that ends nowhere');
        next++;
      }
      const after = next < count ? entry(next) : undefined;
      const end = after ? next * 4096 + after.clusterOffset : size;
      let from = head.blkaddr * 4096;
      const to = from + physical * 4096;
      while (from < to && image[from] === 0) from++;
      if (from % 4096 === 0 && image[from] === 0) wrong('a block of zeros');
      content.push(decompress(this.#algorithm, image.subarray(from, to), end - start));
      used += physical;
      i = next;
    }
    if (used !== blocks) wrong(`${used} blocks, not ${blocks}`);
    return Buffer.concat(content).subarray(0, size);
  }

  /** Every name below the root, with '/' between them. */
  *names(nid = this.rootNid, prefix = ''): Iterable<[path: string, nid: number]> {
    const { content } = this.inode(nid);
    for (let at = 0; at < content.length; at += 4096) {
      const block = content.subarray(at, at + 4096);
      const count = block.readUInt16LE(8) / 12;
      for (let i = 0; i < count; i++) {
        const from = block.readUInt16LE(12 * i + 8);
        const to = i + 1 < count ? block.readUInt16LE(12 * i + 20) : block.length;
        const name = block.toString('latin1', from, to).replace(/\0+$/, '');
        const child = Number(block.readBigUInt64LE(12 * i));
        if (name === '.' || name === '..') continue;
        yield [prefix + name, child];
        if (block[12 * i + 10] === 2) yield* this.names(child, `${prefix}${name}/`);
      }
    }
  }
}
