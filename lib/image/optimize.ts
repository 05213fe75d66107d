/** Which chunks an image is to have a second time, in a blob that is read ahead. */
import { RAFS_VERSIONS } from '../model/version.js';
import type { ChunkTable } from '../chunk/chunk-table.js';
import { isCopyable } from './compact.js';
import { COMPRESSORS } from '../layout/compressors.js';
import { DIGESTERS } from '../crypto/digest.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';
import { ChunkFlag } from '../layout/rafs.js';
import type { LoadedImage } from './load-image.js';
import type { BlobInfo } from '../model/blob.js';
import { shown } from '../model/names.js';

/** A file to read ahead: all of it, or the parts of it that touch these ranges. */
export interface PrefetchFile {
  /** from the root, as bytes */
  path: string;
  /** offset and size of each */
  ranges?: readonly (readonly [offset: number, size: number])[];
}

const VERSION = 'v1';

/**
 * Reads a list of files to read ahead: JSON, or nothing at all. UNSUPPORTED for anything else.
 * Paths that do not begin at the root are left out, with a warning.
 */
export const parsePrefetchFiles = (
  text: string,
  warn: (message: string) => void,
): PrefetchFile[] => {
  if (text.trim() === '') return [];
  const refuse = (why: string): RafsError =>
    new RafsError('UNSUPPORTED', `failed to parse prefetch file as JSON: ${why}`);
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw refuse((error as Error).message); // of the parser
  }
  const { version, files } = fieldsOf(list) ?? {};
  if (typeof version !== 'string') throw refuse('missing version');
  if (version !== VERSION) {
    throw new RafsError('UNSUPPORTED', `unsupported prefetch file version: ${version}`);
  }
  if (!Array.isArray(files)) throw refuse('files must be a list');
  return files.flatMap((item: unknown): PrefetchFile[] => {
    const { path, ranges } = fieldsOf(item) ?? {};
    if (typeof path !== 'string') throw refuse('a file has no path');
    if (!path.startsWith('/')) {
      warn(`prefetch file ${path} does not begin with '/', skip it`);
      return [];
    }
    const known = { path: Buffer.from(path).toString('latin1') };
    if (ranges === undefined || ranges === null) return [known];
    if (!Array.isArray(ranges)) throw refuse(`the ranges of ${path} must be a list`);
    return [{ ...known, ranges: ranges.map((range: unknown) => rangeOf(range, path, refuse)) }];
  });
};

const fieldsOf = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>) // any key of an object may be asked for
    : undefined;

const rangeOf = (
  value: unknown,
  path: string,
  refuse: (why: string) => RafsError,
): [offset: number, size: number] => {
  const numbers: unknown[] = Array.isArray(value) ? value : [];
  const [offset, size] = numbers;
  if (numbers.length === 2 && isCount(offset) && isCount(size)) return [offset, size];
  throw refuse(`a range of ${path} must be an offset and a size`);
};

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/**
 * Gives the chunks that are to be read ahead new rows, one per digest, and makes the files refer to
 * these, under all their names. Returns the rows; until their blob is made, they say where to read
 * the bytes from.
 */
export const redirectChunks = (
  { tree, chunks, bootstrap }: LoadedImage,
  blobs: readonly BlobInfo[],
  files: readonly PrefetchFile[],
  warn: (message: string) => void,
): Uint32Array => {
  if (bootstrap.tarfs) {
    throw new RafsError(
      'UNSUPPORTED',
      'an image in Tarfs mode cannot be optimized: its blobs are its layers',
    );
  }
  const first = chunks.count;
  const copies = new Map<string, number>(); // by digest and size
  const left = new Set<number>();
  for (const { path, ranges } of files) {
    const row = tree.find(path.split('/').filter(Boolean).join('/'));
    if (row < 0) {
      warn(`prefetch file ${shown(path)} is bad, skip it`);
      continue;
    }
    let start = 0;
    // names of one file share their list
    const from = tree.firstChunk.get(row);
    for (let i = from; i < from + tree.chunkCount.get(row); i++) {
      const chunk = chunks.lists.get(i);
      const end = start + chunks.uncompressedSize.get(chunk);
      const wanted = ranges?.some(([at, size]) => Math.max(at, start) <= Math.min(at + size, end));
      start = end;
      if (chunk >= first || wanted === false) continue;
      const blob = chunks.blobIndex.get(chunk);
      if (isMovable(blobs[blob]!)) chunks.lists.data[i] = copyOf(chunks, chunk, copies);
      else left.add(blob);
    }
  }
  for (const blob of left) warn(`chunks of blob ${blobs[blob]!.id} stay where they are`);
  return Uint32Array.from({ length: chunks.count - first }, (_, i) => first + i);
};

/** Chunks of encrypted and of external blobs stay where they are. */
const isMovable = ({ features, cipherIv }: BlobInfo): boolean =>
  (features & (BlobFeature.ENCRYPTED | BlobFeature.EXTERNAL)) === 0 && cipherIv === undefined;

const copyOf = (chunks: ChunkTable, row: number, copies: Map<string, number>): number => {
  const key = `${chunks.digest(row).toString('latin1')} ${chunks.uncompressedSize.get(row)}`;
  let copy = copies.get(key);
  if (copy === undefined) {
    copy = chunks.addFrom(chunks, row, chunks.blobIndex.get(row));
    chunks.recordedOffset.push(chunks.recordedOffset.get(row));
    copies.set(key, copy);
  }
  return copy;
};

/** What the new blob is like. Its compressor is that of the first blob with copyable chunks. */
export const settingsOf = (
  { chunks, bootstrap }: LoadedImage,
  blobs: readonly BlobInfo[],
  rows: Uint32Array,
): Pick<BlobInfo, 'compressor' | 'digester' | 'chunkSize'> => {
  const row = rows.find(one => isTakeable(blobs[chunks.blobIndex.get(one)]!));
  const blob = row === undefined ? undefined : blobs[chunks.blobIndex.get(row)];
  const compressor = RAFS_VERSIONS[bootstrap.version].hasOneCompressor
    ? COMPRESSORS[bootstrap.compressor]
    : (blob?.compressor ?? COMPRESSORS.none);
  return {
    compressor,
    digester: DIGESTERS[bootstrap.digester],
    chunkSize: bootstrap.chunkSize,
  };
};

/** Whether a chunk can go into such a blob as it is stored; otherwise it is unpacked first. */
export const isStoredAlike = (
  chunks: ChunkTable,
  row: number,
  blob: BlobInfo,
  like: Pick<BlobInfo, 'compressor'>,
): boolean => {
  const isPlain = chunks.compressedSize.get(row) === chunks.uncompressedSize.get(row);
  const saysPlain = (chunks.flags.get(row) & ChunkFlag.COMPRESSED) === 0;
  return isTakeable(blob) && blob.compressor === like.compressor && isPlain === saysPlain;
};

/** As `isCopyable`, but a blob that was made here counts as one of those it was made from. */
const isTakeable = (blob: BlobInfo): boolean =>
  isCopyable({
    ...blob,
    features: blob.features & ~BlobFeature.IS_SEPARATED_WITH_PREFETCH_FILES,
  });
