/** What a program imports from 'rafs-stream/formats': records, and what flows between stages. */
export { parseBootstrap } from './bootstrap/parse.js';
export { walk, type Visit } from './bootstrap/walk.js';
export type { Bootstrap } from './bootstrap/bootstrap.js';
export { struct, u16, u32, u64 } from './layout/struct.js';
export type { Chunk } from './model/chunk.js';
export type { Entry } from './model/entry.js';
export type { BlobRecord, Inode, StoredChunk } from './model/stored.js';
