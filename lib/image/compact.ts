/**
 * Decides which blobs of an image are rewritten without the chunks that no file uses, and which are
 * joined.
 *
 * The rules are those that nydus-image documents. It rebuilds nothing itself, so these are added: a
 * blob is only rebuilt if its chunks can be copied as they are stored, blobs are only joined with
 * their like, and a new blob has only one chunk of each digest.
 */
import { hasFlag } from '../layout/struct.js';
import { RAFS_VERSIONS } from '../model/version.js';
import { BlobTable } from '../bootstrap/blob-table.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import { walk } from '../bootstrap/walk.js';
import type { ChunkTable } from '../chunk/chunk-table.js';
import { hasExplicitOwners } from '../bootstrap/settings.js';
import { COMPRESSORS } from '../layout/compressors.js';
import { DigestIndex } from '../chunk/digest-index.js';
import { planBootstrap } from '../bootstrap/plan.js';
import type { PlannedBootstrap } from '../bootstrap/bootstrap-options.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';
import { V6 } from '../layout/rafs-v6.js';
import { ChunkFlag, CHUNK_ALIGN } from '../layout/rafs.js';
import { SuperFlag } from '../layout/rafs.js';
import type { LoadedImage } from './load-image.js';
import type { BlobInfo } from '../model/blob.js';

export interface CompactOptions {
  /** blobs of which a smaller percentage is used are rebuilt */
  minUsedRatio: number;
  /** blobs smaller than this are joined */
  compactBlobSize: number;
  /** no joined blob has more bytes of chunks than this */
  maxCompactSize: number;
  /** with fewer blobs nothing is done */
  layersToCompact: number;
  /** ids of the blobs of a chunk dictionary: they stay, because other images rely on them */
  dictBlobs?: ReadonlySet<string>;
}

/** What an image uses of one of its blobs. */
export interface Usage {
  /** distinct chunks */
  chunks: number;
  /** their bytes, as stored */
  size: number;
}

/** A blob to be made from blobs of the image, whose indexes are in ascending order. */
export interface Rebuilding {
  from: readonly number[];
}

/** The blobs of the new image in their order: the index of one that stays, or one to be made. */
export type Compaction = readonly (number | Rebuilding)[];

/** Features of special kinds of blobs, whose stored chunks make no sense in other kinds. */
const OWN_KINDS =
  BlobFeature.ZRAN |
  BlobFeature.SEPARATE |
  BlobFeature.TARFS |
  BlobFeature.BATCH |
  BlobFeature.ENCRYPTED |
  BlobFeature.IS_CHUNKDICT_GENERATED |
  BlobFeature.IS_SEPARATED_WITH_PREFETCH_FILES |
  BlobFeature.EXTERNAL;
/** A CI table has 40 bits for an offset. */
const MAX_BLOB_SIZE = 2 ** 39;

/** Whether chunks of the blob can be copied as they are stored. */
export const isCopyable = ({ features, compressor, cipherIv }: BlobInfo): boolean =>
  (features & OWN_KINDS) === 0 && compressor !== COMPRESSORS.gzip && cipherIv === undefined;

/** What all files together use of each blob. */
export const usageOf = (chunks: ChunkTable, blobCount: number): Usage[] => {
  const usage = Array.from({ length: blobCount }, () => ({ chunks: 0, size: 0 }));
  for (let row = 0; row < chunks.count; row++) {
    const blob = usage[chunks.blobIndex.get(row)]!;
    blob.chunks += 1;
    if (chunks.named) blob.size += chunks.compressedSize.get(row);
  }
  return usage;
};

/**
 * Decides what becomes of the blobs; undefined if there is nothing to do, or nothing to keep.
 * `sizes` are those of their files.
 */
export const planCompaction = (
  blobs: readonly BlobInfo[],
  chunks: ChunkTable,
  sizes: readonly number[],
  options: CompactOptions,
): Compaction | undefined => {
  // devices of a Tarfs image are its layers: neither they nor their order can change
  if (!chunks.named || blobs.length < options.layersToCompact) return undefined;
  const usage = usageOf(chunks, blobs.length);
  const copyable = copyableBlobs(blobs, chunks, options.dictBlobs ?? new Set());
  const kept = new Set<number>();
  const rebuilt = new Map<number, number[]>(); // by the first
  blobs.forEach((blob, i) => {
    const { chunks: count, size } = usage[i]!;
    if (count === 0 && !options.dictBlobs?.has(blob.id)) return;
    const ratio = sizes[i]! > 0 ? Math.floor((size * 100) / sizes[i]!) : 100;
    // a blob of which every chunk is used would be made again as it is
    const isWhole = blob.chunkCount > 0 && count >= blob.chunkCount;
    if (copyable[i] && ratio < options.minUsedRatio && !isWhole) rebuilt.set(i, [i]);
    else kept.add(i);
  });
  for (const alike of likes(blobs, copyable)) join(alike, usage, sizes, kept, rebuilt, options);
  if (kept.size + rebuilt.size === 0 || kept.size === blobs.length) return undefined;
  return blobs.flatMap((_, i): (number | Rebuilding)[] => {
    const from = rebuilt.get(i);
    if (from) return [{ from: from.toSorted((a, b) => a - b) }];
    return kept.has(i) ? [i] : [];
  });
};

/** Which blobs can be rebuilt: none with a chunk that format 1 of a CI table cannot describe. */
const copyableBlobs = (
  blobs: readonly BlobInfo[],
  chunks: ChunkTable,
  dictBlobs: ReadonlySet<string>,
): boolean[] => {
  const copyable = blobs.map(blob => isCopyable(blob) && !dictBlobs.has(blob.id));
  for (let row = 0; row < chunks.count; row++) {
    const flags = chunks.flags.get(row);
    const isPlain = chunks.compressedSize.get(row) === chunks.uncompressedSize.get(row);
    const saysPlain = (flags & ChunkFlag.COMPRESSED) === 0;
    if (isPlain !== saysPlain || flags & ChunkFlag.ENCRYPTED) {
      copyable[chunks.blobIndex.get(row)] = false;
    }
  }
  return copyable;
};

/** Indexes of the blobs that can be joined, in groups. */
const likes = (blobs: readonly BlobInfo[], copyable: readonly boolean[]): number[][] => {
  const groups = new Map<string, number[]>();
  blobs.forEach(({ compressor, digester, chunkSize, features }, i) => {
    if (!copyable[i]) return;
    const key = [compressor, digester, chunkSize, features & BlobFeature.CHUNK_INFO_V2].join();
    const group = groups.get(key);
    if (group) group.push(i);
    else groups.set(key, [i]);
  });
  return [...groups.values()];
};

/** Joins small blobs, the smallest first, as long as they fit into one. */
const join = (
  alike: readonly number[],
  usage: readonly Usage[],
  sizes: readonly number[],
  kept: Set<number>,
  rebuilt: Map<number, number[]>,
  { compactBlobSize, maxCompactSize }: CompactOptions,
): void => {
  const sizeOf = (i: number): number =>
    rebuilt.has(i) ? usage[i]!.size : sizes[i]! || usage[i]!.size;
  const small = alike
    .filter(i => (kept.has(i) || rebuilt.has(i)) && sizeOf(i) < compactBlobSize)
    .sort((a, b) => sizeOf(a) - sizeOf(b) || a - b);
  const most = Math.min(maxCompactSize, MAX_BLOB_SIZE);
  let [to] = small;
  if (to === undefined) return;
  let joined: Usage = { ...usage[to]! };
  for (const next of small.slice(1)) {
    const size = joined.size + usage[next]!.size;
    const chunks = joined.chunks + usage[next]!.chunks;
    if (size > most || chunks > V6.MAX_CHUNK_INDEX) {
      to = next;
      joined = { ...usage[to]! };
      continue;
    }
    joined = { size, chunks };
    kept.delete(to);
    kept.delete(next);
    rebuilt.delete(next);
    rebuilt.set(to, [...(rebuilt.get(to) ?? [to]), next]);
  }
};

/**
 * The rows of the chunks of a new blob, in the order in which they lie in the old ones, one per
 * digest. The chunk lists of files are changed to refer to these.
 */
export const chunksToCopy = (chunks: ChunkTable, { from }: Rebuilding): Uint32Array => {
  const wanted = new Set(from);
  const all: number[] = [];
  for (let row = 0; row < chunks.count; row++) {
    if (wanted.has(chunks.blobIndex.get(row))) all.push(row);
  }
  const rows = Uint32Array.from(all).sort(
    (a, b) =>
      chunks.blobIndex.get(a) - chunks.blobIndex.get(b) ||
      chunks.compressedOffset.get(a) - chunks.compressedOffset.get(b) ||
      a - b,
  );
  return distinct(chunks, rows);
};

/** The first row of each digest; chunk lists are changed to refer to it instead of the others. */
const distinct = (chunks: ChunkTable, rows: Uint32Array): Uint32Array => {
  const seen = new DigestIndex();
  const kept = new Uint32Array(rows.length); // by unique index
  const instead = new Uint32Array(chunks.count).map((_, row) => row);
  for (const row of rows) {
    const size = chunks.uncompressedSize.get(row);
    const before = seen.count;
    const { uniqueIndex, known } = seen.add(chunks.digest(row), size);
    if (known) {
      instead[row] = kept[uniqueIndex]!;
      continue;
    }
    kept[before] = row;
  }
  for (let i = 0; i < chunks.lists.length; i++) {
    chunks.lists.data[i] = instead[chunks.lists.get(i)]!;
  }
  return kept.subarray(0, seen.count);
};

/** Whether all chunks lie where a kernel could map them; if so, those of a new blob should, too. */
export const hasAlignedChunks = ({ bootstrap, chunks }: LoadedImage): boolean => {
  if (RAFS_VERSIONS[bootstrap.version].alignsChunks) return true;
  for (let row = 0; row < chunks.count; row++) {
    if (chunks.uncompressedOffset.get(row) % CHUNK_ALIGN !== 0) return false;
  }
  return true;
};

/** Renumbers the blobs of all chunks; returns the blob table. `made` are the new blobs in order. */
export const renumberBlobs = (
  chunks: ChunkTable,
  compaction: Compaction,
  before: readonly BlobInfo[],
  made: readonly BlobInfo[],
): BlobInfo[] => {
  const table = new BlobTable();
  const indexes = new Uint16Array(before.length);
  const blobs: BlobInfo[] = [];
  let next = 0;
  for (const item of compaction) {
    const blob = typeof item === 'number' ? before[item]! : made[next++]!;
    const index = table.indexOf(blob);
    if (blobs[index]) throw new RafsError('UNSUPPORTED', `two blobs have the id '${blob.id}'`);
    blobs[index] = blob;
    for (const old of typeof item === 'number' ? [item] : item.from) indexes[old] = index;
  }
  for (let row = 0; row < chunks.count; row++) {
    chunks.blobIndex.data[row] = indexes[chunks.blobIndex.get(row)]!;
  }
  return blobs;
};

/** The bootstrap of an image whose blobs have changed; everything else stays as it is. */
export const replan = (
  { bootstrap, tree, chunks }: LoadedImage,
  blobs: readonly BlobInfo[],
): PlannedBootstrap =>
  planBootstrap(tree, chunks, blobs, {
    fsVersion: bootstrap.version,
    compressor: bootstrap.compressor,
    digester: bootstrap.digester,
    chunkSize: bootstrap.chunkSize,
    explicitUidGid: hasExplicitOwners(bootstrap.flags),
    encrypted: isSaid(bootstrap, SuperFlag.ENCRYPTION_AES_128_XTS),
    tarfs: bootstrap.tarfs,
    prefetch: prefetchPaths(bootstrap),
    hasXattrs: isSaid(bootstrap, SuperFlag.HAS_XATTR),
  });

const isSaid = ({ flags }: Bootstrap, flag: number): boolean => hasFlag(flags, flag);

/** Paths of the inodes that are to be read ahead, in their order. */
const prefetchPaths = (bootstrap: Bootstrap): string[] => {
  const wanted = new Set(bootstrap.prefetch);
  if (wanted.size === 0) return [];
  const paths = new Map<number, string>();
  for (const { id, inode, path } of walk(bootstrap)) {
    for (const known of [id, inode.id]) {
      if (wanted.has(known) && !paths.has(known)) paths.set(known, path);
    }
  }
  return bootstrap.prefetch.flatMap(id => paths.get(id) ?? []);
};
