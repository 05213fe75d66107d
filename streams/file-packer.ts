/**
 * file-packer: sink of an image's content: files cut into pieces, compressed, and laid side by side
 * in blocks.
 *
 * takes entry, chunk and end
 * holds two pieces and the blocks of one batch; 5 bytes for every piece
 *
 * Entries come in the order of the rows of the tree that they were loaded into.
 */
import { Writable } from 'node:stream';
import { allocate } from '../lib/allocate.js';
import { alignUp } from '../lib/bytes.js';
import { compressBound, compressInto } from '../lib/compress.js';
import { BLOCK_SIZE, PACKINGS, type PackingName, type Pieces } from '../lib/compressed-erofs.js';
import { located, RafsError } from '../lib/errors.js';
import type { Tree } from '../lib/tree.js';
import type { ImagePart } from './blob-reader.js';
import type { Spool } from './spool.js';
import type { Batch } from './stage.js';

export interface FilePackerOptions {
  tree: Tree;
  packing: PackingName;
  /** is told where the pieces lie */
  pieces: Pieces;
  /** gets the blocks */
  spool: Spool;
}

/** Needs `prepareCompressors`. MISMATCH where a file has not the bytes that the tree says. */
export const filePacker = ({ tree, packing, pieces, spool }: FilePackerOptions): Writable => {
  const { compressor, pieceSize } = PACKINGS[packing];
  const scratch = allocate(compressBound(pieceSize));
  let row = -1;
  let got = 0; // bytes of the file
  let piece: Buffer | undefined;
  let used = 0;
  let made: Buffer[] = [];

  const store = (): void => {
    if (!piece || used === 0) return;
    const plain = piece.subarray(0, used);
    const source = tree.source.get(row);
    const size = alignUp(used, BLOCK_SIZE);
    used = 0;
    const packed = size > BLOCK_SIZE ? compressInto(compressor, plain, scratch, 0) : 0;
    const packedSize = alignUp(packed, BLOCK_SIZE);
    if (packed > 0 && packedSize < size) {
      // what is compressed lies at the end of its blocks, behind zeros
      const blocks = allocate(packedSize);
      blocks.fill(0, 0, packedSize - packed);
      scratch.copy(blocks, packedSize - packed, 0, packed);
      pieces.add(source, packedSize / BLOCK_SIZE, true);
      made.push(blocks);
      return;
    }
    piece.fill(0, plain.length, size);
    pieces.add(source, size / BLOCK_SIZE, false);
    made.push(piece.subarray(0, size));
    piece = undefined; // it is the spool's now
  };

  const take = (bytes: Buffer): void => {
    if (got === 0 && bytes.length > 0) pieces.startFile(tree.source.get(row));
    got += bytes.length;
    for (let at = 0; at < bytes.length;) {
      piece ??= allocate(pieceSize);
      const size = Math.min(pieceSize - used, bytes.length - at);
      bytes.copy(piece, used, at, at + size);
      used += size;
      at += size;
      if (used === pieceSize) store();
    }
  };

  const end = (): void => {
    store();
    const isFirstName = got > 0 || pieces.file(tree.source.get(row)) === undefined;
    const due = tree.isType(row, 'file') && isFirstName ? tree.size.get(row) : 0;
    if (got === due) return;
    throw new RafsError('MISMATCH', `${got} bytes of ${due}`, { path: `/${tree.path(row)}` });
  };

  return new Writable({
    objectMode: true,
    highWaterMark: 2,
    write(batch: Batch<ImagePart>, _encoding, done) {
      try {
        for (const part of batch) {
          if (part.kind === 'entry') {
            row += 1;
            got = 0;
          } else if (part.kind === 'chunk') take(part.bytes);
          else end();
        }
      } catch (error) {
        done(located(error, { stage: 'file-packer' }));
        return;
      }
      const blocks = made;
      made = [];
      spool.write(blocks).then(() => done(), done);
    },
  });
};
