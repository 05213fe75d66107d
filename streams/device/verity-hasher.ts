/**
 * verity-hasher: passes a disk image through and appends its hash tree.
 *
 * takes and passes bytes and hole; makes bytes, and verity at the end
 * holds 2 slabs of 1 MiB per thread and two more; of the tree 16 MiB, and a page in 128 beyond that
 *
 * Blocks are hashed on all cores, in slabs; the digests are put in order here. The tree is stored
 * from the top down, so its lowest level waits in a spool.
 */
import { availableParallelism } from 'node:os';
import { copyShared } from '../../lib/memory/byte-queue.js';
import { blockDigests, HashTree, type VerityPlan } from '../../lib/device/verity.js';
import type { DiskPart } from './block-image.js';
import { HashPool } from '../threads/hash-pool.js';
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

const SLAB_SIZE = 0x100000;
/** A smaller image is hashed in this thread: starting another takes longer. */
const THREADS_FROM = 0x800000;
const ZERO_RUN = 0x10000;

type Digests = Uint8Array | { zeroBlocks: number };

export const verityHasher = ({
  plan,
  directory,
  threads = plan.dataSize < THREADS_FROM ? 0 : Math.min(availableParallelism(), 16),
}: VerityHasherOptions) => {
  const { blockSize } = plan;
  const pool = new HashPool({ threads, slabs: 2 * threads + 2, slabSize: SLAB_SIZE });
  const tree = new HashTree(plan);
  const spool = new Spool(directory);
  const zeroDigest = blockDigests(Buffer.alloc(blockSize), blockSize);
  const pending: { digests: Promise<Digests> | Digests; ready: boolean }[] = [];
  let slab: Buffer | undefined;
  let used = 0;

  const add = (digests: Promise<Digests> | Digests): void => {
    const waiting = { digests, ready: !(digests instanceof Promise) };
    if (digests instanceof Promise) {
      digests.then(
        () => (waiting.ready = true),
        () => (waiting.ready = true), // reported to whoever awaits it
      );
    }
    pending.push(waiting);
  };

  /** Hashes what is in the slab. */
  const send = (): void => {
    if (!slab) return;
    if (threads > 0) {
      add(pool.blocks(slab, used, blockSize));
      slab = undefined;
    } else {
      add(blockDigests(slab.subarray(0, used), blockSize));
    }
    used = 0;
  };

  const copy = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      slab ??= await pool.take();
      const size = Math.min(SLAB_SIZE - used, bytes.length - at);
      copyShared(slab, used, bytes.subarray(at, at + size));
      used += size;
      at += size;
      if (used === SLAB_SIZE) send();
    }
  };

  /** Puts digests into the tree, in order: those that are ready, or all. */
  const settle = async (all: boolean): Promise<void> => {
    while (pending.length > 0 && (all || pending[0]!.ready)) {
      const digests = await pending.shift()!.digests;
      if (digests instanceof Uint8Array) {
        await spool.write(tree.add(digests));
        continue;
      }
      for (let left = digests.zeroBlocks; left > 0; left -= ZERO_RUN) {
        const count = Math.min(ZERO_RUN, left);
        await spool.write(tree.add(Buffer.alloc(count * zeroDigest.length, zeroDigest)));
      }
    }
  };

  return new Stage<DiskPart, DiskPart | VerityPart>('verity-hasher', {
    async *transformBatch(parts) {
      for (const part of parts) {
        if (part.kind === 'bytes') {
          await copy(part.bytes);
        } else {
          send();
          add({ zeroBlocks: part.size / blockSize });
        }
        yield part;
      }
      await settle(false);
    },
    async *flush() {
      send();
      await settle(true);
      const { first, upper, root } = tree.end();
      await spool.write(first);
      const padding = plan.hashOffset - plan.dataSize;
      if (padding > 0) yield { kind: 'bytes', bytes: Buffer.alloc(padding) };
      for (const page of upper) yield { kind: 'bytes', bytes: page };
      for await (const bytes of spool.read()) yield { kind: 'bytes', bytes };
      yield { kind: 'verity', root };
    },
    destroy() {
      void pool.close();
      void spool.close().catch(() => undefined); // its file has no name
    },
  });
};
