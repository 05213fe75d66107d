import { LRUCache } from 'lru-cache';

/** About how many bytes a buffer takes besides its content. */
export const BUFFER_SIZE = 0x100;

/** Buffers by number; each should have its own memory, since a view keeps all of its buffer's. */
export type ByteCache = LRUCache<number, Buffer>;

/**
 * The buffers used last. When they take more memory than `limit`, those not used for longest are
 * dropped; a buffer that alone takes more is not kept.
 */
export const byteCache = (limit: number): ByteCache =>
  new LRUCache({
    maxSize: Math.max(1, limit),
    sizeCalculation: ({ length }) => length + BUFFER_SIZE,
  });
