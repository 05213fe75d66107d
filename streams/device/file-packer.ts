/**
 * file-packer: sink for an image's content: cuts files into pieces, compresses them on all cores,
 * and lays them side by side in blocks.
 *
 * takes entry, chunk and end
 * holds slabs of 1 MiB, one per thread and six more, which all builds share, the compressed output
 *   of each, and pieces of a block or less that belong between those of a slab, at most 2048
 *
 * Entries come in the order of the tree rows that they were loaded into. As in the compressor,
 * pieces are copied into slabs of shared memory, for threads or for this one.
 */
import { Writable } from 'node:stream';
import { allocate } from '../../lib/memory/allocate.js';
import { alignUp } from '../../lib/layout/align.js';
import { located, RafsError } from '../../lib/errors.js';
import {
  BLOCK_SIZE,
  PACKINGS,
  type PackingName,
  type PclusterMap,
} from '../../lib/erofs/pclusters.js';
import type { Tree } from '../../lib/tree/tree.js';
import type { ImagePart } from '../read/blob-reader.js';
import { SlabQueue } from '../threads/slab-queue.js';
import { SLAB_SIZE } from '../threads/slab-stock.js';
import type { Slab } from '../threads/thread-pool.js';
import type { Spool } from '../io/spool.js';
import type { Batch } from '../batch.js';

export interface FilePackerOptions {
  tree: Tree;
  packing: PackingName;
  /** is told about every piece, and says where it goes */
  pieces: PclusterMap;
  /** gets the blocks */
  blocks: Spool;
  /** gets what goes after inodes, in row order */
  tails: Spool;
  /** compression threads; 0 compresses in this one. The output does not depend on it. */
  workers: number;
}

/** Most pieces in a run: a layer may have a million files of a few bytes. */
const MOST_PIECES = 0x800;

/** A piece of a file; its bytes are the next ones in the slab, or its own if they are few. */
interface Piece {
  row: number;
  size: number;
  bytes?: Buffer;
}

/** Consecutive pieces, and the slab with those to be compressed. */
interface Run {
  pieces: Piece[];
  sizes: number[];
  slab: Slab;
  /** the slab's memory, and how much of it is used */
  plain: Buffer;
  used: number;
}

/** Needs `prepareCompressors`. Fails with MISMATCH if a file's size is not what the tree says. */
export const filePacker = (options: FilePackerOptions): Writable => {
  const { tree, packing, pieces, workers } = options;
  const { compressor } = PACKINGS[packing];
  const { pieceSize } = pieces;
  const task = { kind: 'compress', compressor } as const;
  const queue = new SlabQueue<Run, 'compress'>({ task, workers });
  let run: Run | undefined;
  let row = -1;
  let got = 0; // bytes of the current file so far
  let used = 0; // of them in the current piece, which lies after the run's bytes

  const send = (full: Run): void => queue.send(full, full.slab, full.sizes);

  const settleFirst = async (): Promise<void> => {
    const { item, slab, made } = await queue.next();
    const placed = place(item, made.stored, pieces);
    queue.free(slab);
    await options.blocks.write(placed.blocks);
    await options.tails.write(placed.tails);
  };

  /** A run that has room for a piece. */
  const open = async (): Promise<Run> => {
    if (run && (run.used + pieceSize > SLAB_SIZE || run.pieces.length === MOST_PIECES)) {
      send(run);
      run = undefined;
    }
    if (!run) {
      let slab = queue.take();
      while (!slab) {
        await settleFirst();
        slab = queue.take();
      }
      run = { pieces: [], sizes: [], slab, plain: Buffer.from(slab.plain), used: 0 };
    }
    return run;
  };

  /** Completes the current piece. */
  const store = (): void => {
    if (!run || used === 0) return;
    const size = used;
    used = 0;
    if (pieces.isWorthTrying(size)) {
      run.pieces.push({ row, size });
      run.sizes.push(size);
      run.used += size;
      return;
    }
    const bytes = allocate(size);
    run.plain.copy(bytes, 0, run.used, run.used + size);
    run.pieces.push({ row, size, bytes });
  };

  const take = async (bytes: Buffer): Promise<void> => {
    got += bytes.length;
    for (let at = 0; at < bytes.length;) {
      const to = used === 0 || !run ? await open() : run;
      const size = Math.min(pieceSize - used, bytes.length - at);
      bytes.copy(to.plain, to.used + used, at, at + size);
      used += size;
      at += size;
      if (used === pieceSize) store();
    }
  };

  const names = new Uint8Array(tree.sourceCount); // files of which a name has come
  const end = (): void => {
    store();
    if (!tree.isType(row, 'file')) return;
    const source = tree.source.get(row);
    const due = names[source] === 0 ? tree.size.get(row) : 0; // further names come without content
    names[source] = 1;
    if (got === due) return;
    throw new RafsError('MISMATCH', `expected ${due} bytes, got ${got}`, {
      path: `/${tree.path(row)}`,
    });
  };

  const write = async (batch: Batch<ImagePart>): Promise<void> => {
    for (const part of batch) {
      if (part.kind === 'entry') {
        row += 1;
        got = 0;
      } else if (part.kind === 'chunk') await take(part.bytes);
      else end();
    }
    while (queue.isReady) await settleFirst();
  };

  const final = async (): Promise<void> => {
    if (run) send(run);
    while (queue.length > 0) await settleFirst();
    await queue.close();
  };

  const told = (work: Promise<void>, done: (error?: Error) => void): void =>
    void work.then(
      () => done(),
      (error: unknown) => done(located(error, { stage: 'file-packer' })),
    );

  return new Writable({
    objectMode: true,
    highWaterMark: 2,
    write: (batch: Batch<ImagePart>, _encoding, done) => told(write(batch), done),
    final: done => told(final(), done),
    destroy(error, done) {
      void queue.close();
      done(error);
    },
  });
};

/**
 * The blocks and tails of a run.
 *
 * @param stored compressed size of each piece of the slab, 0 if that is no shorter
 */
const place = (
  run: Run,
  stored: readonly number[],
  pieces: PclusterMap,
): { blocks: Buffer[]; tails: Buffer[] } => {
  const packed = Buffer.from(run.slab.packed);
  const blocks: Buffer[] = [];
  const tails: Buffer[] = [];
  let next = 0;
  let plainAt = 0;
  let packedAt = 0;
  for (const { row, size, bytes } of run.pieces) {
    const storedSize = bytes ? 0 : stored[next++]!;
    const from = bytes ?? run.plain.subarray(plainAt, plainAt + size);
    const placed = pieces.add(row, size, storedSize);
    if (placed.packed) {
      // compressed data lies at the end of its blocks, after zeros
      const target = allocate(placed.blocks * BLOCK_SIZE);
      const start = target.length - storedSize;
      target.fill(0, 0, start);
      packed.copy(target, start, packedAt, packedAt + storedSize);
      blocks.push(target);
    } else {
      const whole = size - placed.tailSize;
      if (whole > 0) {
        const target = allocate(alignUp(whole, BLOCK_SIZE));
        from.copy(target, 0, 0, whole);
        target.fill(0, whole);
        blocks.push(target);
      }
      if (placed.tailSize > 0) {
        const tail = bytes ?? allocate(placed.tailSize);
        if (tail !== bytes) from.copy(tail, 0, whole);
        tails.push(tail);
      }
    }
    if (!bytes) plainAt += size;
    packedAt += storedSize;
  }
  return { blocks, tails };
};
