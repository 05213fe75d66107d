/**
 * The image that serves as a chunk dictionary: blobs, with all that is known of their chunks, and
 * files that refer to these chunks, because a reader may look for them there and not in the chunk
 * table.
 *
 * A file goes on until a chunk has less than the full size, as only its last chunk may. So every
 * reader finds every chunk, and the image is like any other.
 */
import { RAFS_VERSIONS, type RafsVersion } from '../model/version.js';
import { alignUp } from '../layout/align.js';
import { ChunkTable } from '../chunk/chunk-table.js';
import type { ChunkRows } from './rows.js';
import { compressorName } from '../compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../layout/compressors.js';
import { DIGESTERS, digesterName, type Digester } from '../crypto/digest.js';
import { planBootstrap } from '../bootstrap/plan.js';
import type { PlannedBootstrap } from '../bootstrap/bootstrap-options.js';
import { RafsError } from '../errors.js';
import { BlobFeature, ChunkInfoV1 } from '../layout/blob.js';
import { V6 } from '../layout/rafs-v6.js';
import { ChunkFlag } from '../layout/rafs.js';
import type { BlobInfo } from '../model/blob.js';
import { MODE_OF_TYPE } from '../model/mode.js';
import { Tree } from '../tree/tree.js';

/** Settings that a dictionary shares with the images that it is for. */
export interface DictSettings {
  version: RafsVersion;
  compressor: Compressor;
  digester: Digester;
  chunkSize: number;
  explicitUidGid: boolean;
}

/** What a database knows of a blob. */
export interface DictBlob {
  id: string;
  compressedSize: number;
  uncompressedSize: number;
  compressor: Compressor;
  ciCompressedSize: number;
  ciUncompressedSize: number;
  ciOffset: number;
  /** all that its image says; unknown if nydus-image made the entry */
  info?: BlobInfo;
}

export interface PlannedDict {
  blobs: readonly BlobInfo[];
  bootstrap: PlannedBootstrap;
  chunkCount: number;
  /** why blobs were left out, a sentence each */
  warnings: readonly string[];
}

const BLOCK_SIZE = 4096;
const DIRECTORY = 'chunkdict';
const NAME_DIGITS = 8;

/**
 * @param wanted ids of the blobs to take, with all of their chunks that are in `rows`
 * @param blobs by id
 */
export const planChunkDict = (
  rows: ChunkRows,
  wanted: ReadonlySet<string>,
  blobs: ReadonlyMap<string, DictBlob>,
  settings: DictSettings,
): PlannedDict => {
  const warnings: string[] = [];
  const chunks = new ChunkTable();
  const infos: BlobInfo[] = [];
  for (const [id, own] of chunksOf(rows, wanted)) {
    const size = own.reduce((sum, row) => sum + rows.uncompressedSize.get(row), 0);
    const known = blobs.get(id);
    const info = known && infoOf(known, rows, own, settings);
    if (size < BLOCK_SIZE) {
      warnings.push(`Blob with id '${id}' is smaller than ${BLOCK_SIZE} bytes.`);
    } else if (!info) {
      warnings.push(`Blob with id '${id}' is left out: too little is known of it.`);
    } else if (digesterName(info.digester) !== settings.digester) {
      warnings.push(`Blob with id '${id}' is left out: it has another digest algorithm.`);
    } else if (info.chunkSize !== settings.chunkSize) {
      warnings.push(`Blob with id '${id}' is left out: its chunk size is ${info.chunkSize}.`);
    } else {
      addChunks(chunks, rows, own, { info, blobIndex: infos.length, id });
      const features = info.features - (info.features & BlobFeature.IS_CHUNKDICT_GENERATED);
      infos.push({ ...info, features: features + BlobFeature.IS_CHUNKDICT_GENERATED });
    }
  }
  const { version: fsVersion, ...rest } = settings;
  const tree = treeOf(chunks, settings.chunkSize);
  const bootstrap = planBootstrap(tree, chunks, infos, { fsVersion, ...rest });
  return { blobs: infos, bootstrap, chunkCount: chunks.count, warnings };
};

/** The rows of each wanted blob, one per chunk, in the order in which chunks lie in the blob. */
const chunksOf = (rows: ChunkRows, wanted: ReadonlySet<string>): [string, number[]][] => {
  const { blob, compressedOffset, uncompressedOffset, index } = rows;
  const found = rows.blobs.list.map(id => (wanted.has(id) ? new Map<number, number>() : undefined));
  for (let row = 0; row < rows.count; row++) {
    const own = found[blob.get(row)];
    if (!own) continue;
    // images use a chunk many times, each a row of the database: the row that knows more counts
    const offset = uncompressedOffset.get(row);
    const before = own.get(offset);
    if (before === undefined || (index.get(before) === 0 && index.get(row) > 0)) {
      own.set(offset, row);
    }
  }
  const order = (a: number, b: number): number =>
    compressedOffset.get(a) - compressedOffset.get(b) ||
    uncompressedOffset.get(a) - uncompressedOffset.get(b);
  return found
    .flatMap((own, n): [string, number[]][] =>
      own ? [[rows.blobs.list[n]!, [...own.values()].sort(order)]] : [],
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));
};

/**
 * The blob as a blob table has it; undefined if too little is known. Without `blob.info`, the order
 * of the chunks gives their indexes; in v6 the blob must then have a CI table of format 1 with one
 * record for each of these chunks.
 */
const infoOf = (
  blob: DictBlob,
  rows: ChunkRows,
  own: readonly number[],
  { version, digester, chunkSize }: DictSettings,
): BlobInfo | undefined => {
  const indexed = own.every(row => rows.index.get(row) > 0);
  if (blob.info) return indexed || own.length === blob.info.chunkCount ? blob.info : undefined;
  const { alignsChunks, hasChunkInfo } = RAFS_VERSIONS[version];
  if (hasChunkInfo && blob.ciUncompressedSize !== own.length * ChunkInfoV1.size) return undefined;
  const last = own.reduce(
    (end, row) => Math.max(end, rows.uncompressedOffset.get(row) + rows.uncompressedSize.get(row)),
    0,
  );
  const isStored = blob.ciCompressedSize === blob.ciUncompressedSize;
  return {
    id: blob.id,
    chunkSize,
    chunkCount: own.length,
    compressor: COMPRESSORS[blob.compressor],
    digester: DIGESTERS[digester],
    features: BlobFeature.CAP_TAR_TOC + (alignsChunks ? BlobFeature.ALIGNED : 0),
    compressedSize: blob.compressedSize,
    uncompressedSize: alignsChunks ? alignUp(last, BLOCK_SIZE) : blob.uncompressedSize,
    tocSize: 0,
    tocDigest: Buffer.alloc(32),
    ciCompressor: isStored ? COMPRESSORS.none : COMPRESSORS[blob.compressor],
    ciOffset: blob.ciOffset,
    ciCompressedSize: blob.ciCompressedSize,
    ciUncompressedSize: blob.ciUncompressedSize,
    metaDigest: Buffer.alloc(32),
    metaSize: 0,
  };
};

const addChunks = (
  chunks: ChunkTable,
  rows: ChunkRows,
  own: readonly number[],
  { info, blobIndex, id }: { info: BlobInfo; blobIndex: number; id: string },
): void => {
  const used = new Set<number>();
  own.forEach((row, n) => {
    const index = rows.index.get(row) === 0 ? n : rows.index.get(row) - 1;
    if (used.has(index) || index >= info.chunkCount || index > V6.MAX_CHUNK_INDEX) {
      throw new RafsError(
        'CORRUPT',
        `chunk index ${index} is out of range or used twice: the blob has ${info.chunkCount} chunks`,
        { blob: id },
      );
    }
    used.add(index);
    const uncompressedOffset = rows.uncompressedOffset.get(row);
    if (info.features & BlobFeature.ALIGNED && uncompressedOffset % BLOCK_SIZE !== 0) {
      throw new RafsError('CORRUPT', `chunk ${index} at ${uncompressedOffset} is not aligned`, {
        blob: id,
      });
    }
    const uncompressedSize = rows.uncompressedSize.get(row);
    if (uncompressedSize === 0 || uncompressedSize > info.chunkSize) {
      throw new RafsError('CORRUPT', `chunk ${index} has invalid size ${uncompressedSize}`, {
        blob: id,
      });
    }
    const compressedSize = rows.compressedSize.get(row);
    const flags =
      rows.flags.get(row) === 0
        ? flagsOf(compressorName(info.compressor), compressedSize, uncompressedSize)
        : rows.flags.get(row) - 1;
    const crc32 = rows.crc32.get(row);
    chunks.addStored(
      {
        digest: rows.digestOf(rows.digest.get(row)),
        blobIndex,
        index,
        fileOffset: 0,
        uncompressedSize,
        compressedSize,
        uncompressedOffset,
        compressedOffset: rows.compressedOffset.get(row),
        compressed: (flags & ChunkFlag.COMPRESSED) !== 0,
        encrypted: (flags & ChunkFlag.ENCRYPTED) !== 0,
        ...(crc32 === 0 ? {} : { crc32 }),
      },
      blobIndex,
    );
  });
};

const flagsOf = (compressor: Compressor, compressed: number, uncompressed: number): number =>
  compressor !== 'none' && compressed !== uncompressed ? ChunkFlag.COMPRESSED : 0;

/** A directory of files that together have all chunks, in the order of the table. */
const treeOf = (chunks: ChunkTable, chunkSize: number): Tree => {
  const tree = new Tree();
  const facts = { mtime: 0, mtimeNsec: 0, rdev: 0, size: 0 };
  const mode = MODE_OF_TYPE.directory | 0o660;
  tree.describe(tree.root, { ...facts, mode, uid: 1000, gid: 1000 });
  if (chunks.count === 0) return tree;
  const directory = tree.add(tree.root, DIRECTORY, { ...facts, mode, uid: 1000, gid: 1000 });
  let first = 0;
  let size = 0;
  let files = 0;
  for (let row = 0; row < chunks.count; row++) {
    chunks.lists.push(row);
    size += chunks.uncompressedSize.get(row);
    const isFull = chunks.uncompressedSize.get(row) === chunkSize;
    if (isFull && row + 1 < chunks.count) continue;
    const name = String(files++).padStart(NAME_DIGITS, '0');
    const file = { ...facts, mode: MODE_OF_TYPE.file | 0o660, uid: 0, gid: 0, size };
    tree.setChunks(tree.add(directory, name, file), first, row + 1 - first);
    first = row + 1;
    size = 0;
  }
  return tree;
};
