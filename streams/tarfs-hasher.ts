/**
 * tarfs-hasher: counts and digests a tar as it passes, and keeps it where that is asked for.
 *
 * takes bytes; passes them, makes section and, at the end, layer
 * holds 8 slabs of 1 MiB
 *
 * The digest takes longer than all the rest: it is made in a thread of its own, unless the tar fits
 * into one slab.
 */
import { createHash } from 'node:crypto';
import { copyShared } from '../lib/bytes.js';
import type { BytesPart, LayerPart, SectionPart } from '../lib/parts.js';
import { HashPool } from './hash-pool.js';
import { Stage } from './stage.js';

export interface TarfsHasherOptions {
  /** whether the layer part is to have the digest */
  hashed: boolean;
  /** also write the tar as the blob */
  kept: boolean;
}

const SLAB_SIZE = 0x100000;
const SLABS = 8;

export const tarfsHasher = ({ hashed, kept }: TarfsHasherOptions) => {
  const pool = new HashPool({ threads: 1, slabs: SLABS, slabSize: SLAB_SIZE });
  let size = 0;
  let slab: Buffer | undefined;
  let used = 0;

  /** Copies the bytes into slabs; they go on to others meanwhile. */
  const add = async (bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      if (slab && used === SLAB_SIZE) {
        pool.update(slab, used);
        slab = undefined;
      }
      if (!slab) {
        slab = await pool.take();
        used = 0;
      }
      const count = Math.min(SLAB_SIZE - used, bytes.length - at);
      copyShared(slab, used, bytes.subarray(at, at + count));
      used += count;
      at += count;
    }
  };

  const digest = async (): Promise<string> => {
    if (!pool.started) {
      const bytes = slab?.subarray(0, used) ?? Buffer.alloc(0);
      return createHash('sha256').update(bytes).digest('hex');
    }
    if (slab) pool.update(slab, used);
    return Buffer.from(await pool.digest()).toString('hex');
  };

  return new Stage<BytesPart, BytesPart | SectionPart | LayerPart>('tarfs-hasher', {
    async *batch(parts) {
      for (const part of parts) {
        size += part.bytes.length;
        if (hashed) await add(part.bytes);
        if (kept) yield { kind: 'section', artifact: 'blob', bytes: part.bytes };
        yield part;
      }
    },
    async *end() {
      yield { kind: 'layer', size, digest: hashed ? await digest() : undefined };
    },
    close() {
      void pool.close();
    },
  });
};
