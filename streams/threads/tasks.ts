/**
 * What threads do, and what is done in this thread just the same: a task is decided once, and then
 * done for one slab after another.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { hashChunks } from '../../lib/chunk/chunk-hashes.js';
import { compressRun, type CompressedRun, type RunMemory } from '../../lib/chunk/compress-run.js';
import { DigestFilter } from '../../lib/chunk/digest-filter.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests, type Digester } from '../../lib/crypto/digest.js';
import { blockDigests } from '../../lib/device/verity.js';
import type { Compressor } from '../../lib/layout/compressors.js';

/** What the tasks are given, by kind; it can be sent to a thread. */
export interface TaskOptions {
  /** compress the chunks of a slab; `seen` is the memory of a filter, if they are hashed too */
  compress: {
    readonly compressor: Compressor;
    readonly hashing?: { readonly digester: Digester; readonly seen: SharedArrayBuffer };
  };
  /** sha256 and CRC-32C of the chunks of a slab, as `hashChunks` makes them */
  'hash-chunks': object;
  /** the digests of all blocks of the parts of a slab */
  'hash-blocks': { readonly blockSize: number; readonly salt?: Uint8Array };
  /** one sha256 of all slabs, which go to one and the same thread; each gives the digest so far */
  'hash-run': object;
  /** the sha256 of an open file, without a slab; given up when `stop` is no longer 0 */
  'hash-file': { readonly fd: number; readonly size: number; readonly stop: SharedArrayBuffer };
}

/** What a task gives for a slab. */
export interface TaskAnswers {
  compress: CompressedRun;
  'hash-chunks': Uint8Array;
  'hash-blocks': Uint8Array;
  'hash-run': Uint8Array;
  'hash-file': FileDigest;
}

export interface FileDigest {
  readonly digest: string;
  /** bytes read */
  readonly size: number;
}

export type TaskKind = keyof TaskOptions;

/** A kind of task and its options. */
export type Task<K extends TaskKind = TaskKind> = {
  readonly [One in K]: { readonly kind: One } & TaskOptions[One];
}[K];

/** Does the task for what lies at the start of a slab, in parts of these sizes. */
export type Perform<K extends TaskKind> = (
  memory: RunMemory,
  sizes: readonly number[],
) => TaskAnswers[K];

/** What must be ready before a task is performed. */
export const prepareTask = async (kind: TaskKind): Promise<void> => {
  if (kind !== 'compress') return;
  await prepareCompressors();
  await prepareDigests();
};

const sumOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

/** Bytes of a file that are hashed at once. */
const FILE_PIECE = 0x20000;

const TASKS: { readonly [K in TaskKind]: (options: TaskOptions[K]) => Perform<K> } = {
  compress({ compressor, hashing }) {
    const options = hashing
      ? { compressor, hashing: { ...hashing, seen: new DigestFilter(hashing.seen) } }
      : { compressor };
    return (memory, sizes) => compressRun(memory, sizes, options);
  },
  'hash-chunks':
    () =>
    ({ plain }, sizes) =>
      hashChunks(Buffer.from(plain, 0, sumOf(sizes)), sizes),
  'hash-blocks':
    ({ blockSize, salt }) =>
    ({ plain }, sizes) =>
      blockDigests(Buffer.from(plain, 0, sumOf(sizes)), blockSize, salt),
  'hash-run'() {
    const hash = createHash('sha256');
    return ({ plain }, sizes) => {
      hash.update(Buffer.from(plain, 0, sumOf(sizes)));
      return new Uint8Array(hash.copy().digest());
    };
  },
  'hash-file': options => () => digestOfFile(options),
};

/** A function that does the task here; `prepareTask` must have resolved. */
export const performerOf = <K extends TaskKind>(task: Task<K>): Perform<K> =>
  (TASKS[task.kind] as (options: Task<K>) => Perform<K>)(task); // both are of one kind

/**
 * Reads a file from its start and hashes it. The buffer is small enough to be in the processor's
 * cache when it is hashed, and again when it is overwritten: with a buffer twice as large, reading
 * takes four times as long.
 */
const digestOfFile = ({ fd, size, stop }: TaskOptions['hash-file']): FileDigest => {
  const stopped = new Int32Array(stop);
  const buffer = Buffer.allocUnsafeSlow(Math.min(FILE_PIECE, size));
  const hash = createHash('sha256');
  let at = 0;
  while (at < size) {
    if (Atomics.load(stopped, 0) !== 0) throw new Error('hashing was given up');
    const count = fs.readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return { digest: hash.digest('hex'), size: at };
};
