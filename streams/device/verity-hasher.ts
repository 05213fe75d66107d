/**
 * verity-hasher: passes a disk image through and appends its hash tree.
 *
 * takes and passes bytes and hole; makes bytes, and verity at the end
 * holds slabs of 1 MiB, one per thread and six more, which all builds share; of the tree 16 MiB, and a page in 128 beyond that
 *
 * Blocks are hashed on all cores, in slabs; the digests are put in order here. The tree is stored
 * from the top down, so its lowest level waits in a spool.
 */
import { availableParallelism } from 'node:os';
import { NO_BYTES } from '../../lib/memory/allocate.js';
import { copyShared } from '../../lib/memory/byte-queue.js';
import { blockDigests, HashTree, type VerityPlan } from '../../lib/device/verity.js';
import type { DiskPart } from './block-image.js';
import { SlabQueue } from '../threads/slab-queue.js';
import { SLAB_SIZE } from '../threads/slab-stock.js';
import { threadPool, type Slab } from '../threads/thread-pool.js';
import { Spool } from '../io/spool.js';
import { Stage } from '../stage.js';

/** The tree is complete; `root` is the digest of its top, in hex. */
export interface VerityPart {
  kind: 'verity';
  root: string;
}

export interface VerityHasherOptions {
  plan: VerityPlan;
  /** where the spool makes its file, if it needs one */
  directory: string;
  /** hashing threads; 0 hashes in this one. The output does not depend on it. */
  threads?: number;
}

/** Bytes of an image that make a thread worth its start. */
const WORTH_A_THREAD = 0x4000000;
const ZERO_RUN = 0x10000;

export const verityHasher = ({
  plan,
  directory,
  threads = Math.min(availableParallelism(), 16),
}: VerityHasherOptions) => {
  const { blockSize, salt, superBlock } = plan;
  // each slab with the number of empty blocks before it
  const queue = new SlabQueue<number, 'hash-blocks'>({
    task: { kind: 'hash-blocks', blockSize, salt },
    workers: threads,
  });
  threadPool.start(Math.min(threads, Math.floor(plan.dataSize / WORTH_A_THREAD)));
  const tree = new HashTree(plan);
  const spool = new Spool(directory);
  const zeroDigest = blockDigests(Buffer.alloc(blockSize), blockSize, salt);
  let slab: Slab | undefined;
  let plain: Buffer = NO_BYTES;
  let used = 0;
  let emptyBlocks = 0;

  /** Hashes what is in the slab. */
  const send = (): void => {
    if (!slab) return;
    queue.send(emptyBlocks, slab, [used]);
    slab = undefined;
    used = emptyBlocks = 0;
  };

  const addEmpty = async (blocks: number): Promise<void> => {
    for (let left = blocks; left > 0; left -= ZERO_RUN) {
      const count = Math.min(ZERO_RUN, left);
      await spool.write(tree.add(Buffer.alloc(count * zeroDigest.length, zeroDigest)));
    }
  };

  /** Puts the first digests into the tree, in order. */
  const settleFirst = async (): Promise<void> => {
    const { item, slab: done, made } = await queue.next();
    queue.free(done);
    await addEmpty(item);
    await spool.write(tree.add(made));
  };

  const copy = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      while (!slab) {
        slab = queue.take();
        if (slab) plain = Buffer.from(slab.plain);
        else await settleFirst();
      }
      const size = Math.min(SLAB_SIZE - used, bytes.length - at);
      copyShared(plain, used, bytes.subarray(at, at + size));
      used += size;
      at += size;
      if (used === SLAB_SIZE) send();
    }
  };

  return new Stage<DiskPart, DiskPart | VerityPart>('verity-hasher', {
    async *transformBatch(parts) {
      for (const part of parts) {
        if (part.kind === 'bytes') {
          await copy(part.bytes);
        } else {
          send();
          emptyBlocks += part.size / blockSize;
        }
        yield part;
      }
      while (queue.isReady) await settleFirst();
    },
    async *flush() {
      send();
      while (queue.length > 0) await settleFirst();
      await queue.close();
      await addEmpty(emptyBlocks);
      const { first, upper, root } = tree.end();
      await spool.write(first);
      const padding = plan.hashOffset - plan.dataSize;
      if (padding > 0) yield { kind: 'bytes', bytes: Buffer.alloc(padding) };
      if (superBlock.length > 0) yield { kind: 'bytes', bytes: superBlock };
      for (const page of upper) yield { kind: 'bytes', bytes: page };
      for await (const bytes of spool.read()) yield { kind: 'bytes', bytes };
      yield { kind: 'verity', root };
    },
    destroy() {
      void queue.close();
      void spool.close().catch(() => undefined); // its file has no name
    },
  });
};
