/**
 * How files are cut into pieces and where the pieces go, in an image that uses EROFS's own
 * compression. A piece that would not need fewer blocks when compressed is stored as it is. If no
 * piece of a file is compressed, its partial last block follows the inode, if one block has room
 * for both.
 */
import { Column } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { Algorithm } from '../layout/erofs-z.js';
import { ExtendedInode, V6 } from '../layout/rafs-v6.js';
import type { Tree } from '../tree/tree.js';
import { encodeXattrs, type XattrArea } from '../bootstrap/v6/xattrs.js';

export const BLOCK_SIZE = 2 ** V6.BLOCK_BITS;

/** How pieces are compressed. The larger they are, the smaller the image and the slower a read. */
export const PACKINGS = {
  lz4: { compressor: 'lz4_block', algorithm: Algorithm.LZ4, pieceSize: 0x10000 },
  zstd: { compressor: 'zstd', algorithm: Algorithm.ZSTD, pieceSize: 0x20000 },
} as const;
export type PackingName = keyof typeof PACKINGS;

/** What becomes of a piece: its blocks, whether they are compressed, and its bytes at the inode. */
export interface Placed {
  blocks: number;
  packed: boolean;
  tailSize: number;
}

/** Holds 11 bytes for every inode, and 5 for every piece. */
export class PclusterMap {
  readonly pieceSize: number;
  /** blocks in all */
  blocks = 0;
  /** the encoded sets of xattrs, by their number in the tree */
  readonly xattrAreas: readonly (XattrArea | undefined)[];
  readonly #tree: Tree;
  /** by piece: its first block, counted from the first one with data */
  readonly #blkaddr = new Column(Uint32Array);
  /** by piece: its number of blocks if it is compressed; 0 if it is stored as it is */
  readonly #packedBlocks = new Column(Uint8Array);
  // by source number of the tree
  readonly #first: Uint32Array;
  readonly #fileBlocks: Uint32Array;
  readonly #packed: Uint8Array;
  readonly #tailSize: Uint16Array;

  /** @param tree complete: nothing is inserted later */
  constructor(tree: Tree, packing: PackingName) {
    this.pieceSize = PACKINGS[packing].pieceSize;
    this.xattrAreas = tree.xattrSets.map(set => set && encodeXattrs(set));
    this.#tree = tree;
    const { sourceCount } = tree;
    this.#first = new Uint32Array(sourceCount);
    this.#fileBlocks = new Uint32Array(sourceCount);
    this.#packed = new Uint8Array(sourceCount);
    this.#tailSize = new Uint16Array(sourceCount);
  }

  /** Bytes of an inode with its xattrs. */
  inodeSize(row: number): number {
    return ExtendedInode.size + (this.xattrArea(row)?.bytes.length ?? 0);
  }

  xattrArea(row: number): XattrArea | undefined {
    return this.xattrAreas[this.#tree.xattrs.get(row)];
  }

  /** Whether compressing a piece of that size can save anything. */
  isWorthTrying(size: number): boolean {
    return size > BLOCK_SIZE;
  }

  /**
   * Places the next piece. Those of a file come one after another, and files in the order of rows.
   * All pieces but the last of a file have `pieceSize` bytes.
   *
   * @param packedSize what it is compressed to; 0 if that was not tried, or is no shorter
   */
  add(row: number, size: number, packedSize: number): Placed {
    const source = this.#tree.source.get(row);
    const plainBlocks = Math.ceil(size / BLOCK_SIZE);
    const packedBlocks = Math.ceil(packedSize / BLOCK_SIZE);
    const packed = packedSize > 0 && packedBlocks < plainBlocks;
    const rest = size % BLOCK_SIZE;
    const inline =
      !packed && rest > 0 && this.#packed[source] === 0 && this.inodeSize(row) + rest <= BLOCK_SIZE;
    const blocks = packed ? packedBlocks : inline ? plainBlocks - 1 : plainBlocks;
    const tailSize = inline ? rest : 0;
    if (this.blocks + blocks > 0xffff_ffff) {
      throw new RafsError('LIMIT', `an image of ${this.blocks + blocks} blocks is too large`);
    }
    if (this.#fileBlocks[source] === 0) this.#first[source] = this.#blkaddr.length;
    this.#tailSize[source] = tailSize;
    if (blocks > 0) {
      this.#blkaddr.push(this.blocks);
      this.#packedBlocks.push(packed ? blocks : 0);
      this.#fileBlocks[source]! += blocks;
      if (packed) this.#packed[source] = 1;
      this.blocks += blocks;
    }
    return { blocks, packed, tailSize };
  }

  /** The first piece of a file that has blocks. */
  firstPiece(row: number): number {
    return this.#first[this.#tree.source.get(row)]!;
  }

  fileBlocks(row: number): number {
    return this.#fileBlocks[this.#tree.source.get(row)]!;
  }

  /** Whether a piece of the file is compressed. */
  isPacked(row: number): boolean {
    return this.#packed[this.#tree.source.get(row)] === 1;
  }

  /** Bytes of a file that follow its inode. */
  tailSize(row: number): number {
    return this.#tailSize[this.#tree.source.get(row)]!;
  }

  blkaddr(piece: number): number {
    return this.#blkaddr.get(piece);
  }

  packedBlocks(piece: number): number {
    return this.#packedBlocks.get(piece);
  }
}
