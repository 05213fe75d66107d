/** A blob of an image source that can be read at any offset, with a cache and read-ahead. */
import { LRUCache } from 'lru-cache';
import { RafsError } from '../../lib/errors.js';
import { allocate } from '../../lib/memory/allocate.js';
import type { Descriptor } from '../../lib/oci/descriptor.js';
import type { ReaderAt } from '../io/reader-at.js';
import type { ImageSource } from './source.js';

/** Bytes that are asked for and kept as a unit. */
const BLOCK = 0x10_0000;
/** Blocks that are kept, of those that were used last. */
const KEPT = 6;

export const sourceReader = (
  source: ImageSource,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  signal: AbortSignal,
): ReaderAt => {
  const blocks = new LRUCache<number, Promise<Buffer>>({ max: KEPT });
  let onward = 0; // the block after the last one that was read

  const load = async (index: number): Promise<Buffer> => {
    const offset = index * BLOCK;
    const length = Math.min(BLOCK, size - offset);
    const bytes = allocate(length);
    let at = 0;
    for await (const piece of await source.open({ digest, size }, { offset, length, signal })) {
      at += (piece as Buffer).copy(bytes, at);
    }
    if (at === length) return bytes;
    throw new RafsError('BACKEND', `expected ${length} bytes, got ${at}`, { digest, offset });
  };
  const block = (index: number): Promise<Buffer> => {
    const kept = blocks.get(index);
    if (kept) return kept;
    const found = load(index);
    found.catch(() => undefined); // whoever needs it sees the failure
    blocks.set(index, found);
    return found;
  };

  return {
    size,
    async read(offset, count, into) {
      if (!(offset >= 0 && count >= 0 && offset + count <= size)) {
        throw new RafsError(
          'CORRUPT',
          `${count} bytes at ${offset} extend past the end at ${size}`,
          { blob: digest },
        );
      }
      const first = Math.floor(offset / BLOCK);
      const from = offset - first * BLOCK;
      if (from + count <= BLOCK && !into) {
        const bytes = await block(first);
        ahead(first);
        return bytes.subarray(from, from + count);
      }
      const bytes = into ?? allocate(count);
      for (let at = 0; at < count;) {
        const index = Math.floor((offset + at) / BLOCK);
        const within = offset + at - index * BLOCK;
        at += (await block(index)).copy(bytes, at, within, Math.min(BLOCK, within + count - at));
        ahead(index);
      }
      return bytes;
    },
    async close() {
      await Promise.allSettled(blocks.values());
      blocks.clear();
    },
  };

  /** Asks for the next block while this one is used, where blocks are read in order. */
  function ahead(index: number): void {
    const sequential = index === onward;
    if (index >= onward) onward = index + 1;
    if (sequential && (index + 1) * BLOCK < size && !blocks.has(index + 1)) void block(index + 1);
  }
};
