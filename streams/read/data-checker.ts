/**
 * Verifies what is in one blob: its tables, every chunk, and the digests that it is named by. Its
 * bytes are read once, front to back.
 */
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BlobDigest, isDigestName } from '../../lib/blob/blob-digest.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import type { ChunkUses } from '../../lib/bootstrap/chunk-uses.js';
import { NO_DIGEST } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { sectionsOfTail, tailSize } from '../../lib/blob/toc.js';
import { BlobFeature, Section } from '../../lib/layout/blob.js';
import { BLOCK_SIZE } from '../../lib/layout/tar.js';
import { allocate, type Allocator } from '../../lib/memory/allocate.js';
import { PooledCopies, type BufferPool } from '../../lib/memory/buffer-pool.js';
import type { BlobRecord, StoredChunk } from '../../lib/model/stored.js';
import type { Batch } from '../batch.js';
import type { ReaderAt } from '../io/reader-at.js';
import { BlobBlocks } from './blob-blocks.js';
import { checkBlob, compareChunk, withUnused, type CheckedBlob } from './blob-checker.js';
import { blobChunks } from './blob-chunks.js';
import type { ImagePart } from './blob-reader.js';
import { BlobScan } from './blob-scan.js';
import { ChunkReader } from './chunk-reader.js';
import { chunkVerifier } from './chunk-verifier.js';

/** A blob, and what there is of it. */
export interface OpenedBlob {
  readonly blob: BlobRecord;
  readonly source?: ReaderAt | undefined;
  /** of a layer that the image only refers to: the file with its tables */
  readonly tables?: ReaderAt | undefined;
}

export interface DataCheckOptions {
  bootstrap: Bootstrap;
  uses: ChunkUses;
  /** for plain bytes */
  pool: BufferPool;
  /** ids are names: they need not be the digests of blobs */
  anyBlobId: boolean;
  signal?: AbortSignal | undefined;
  /** told what cannot be proven, and why */
  doubt: (why: string) => void;
}

export interface CheckedData {
  chunks: number;
  /** plain ones */
  bytes: number;
}

/** Fails with CORRUPT or MISMATCH at the first thing that is wrong. Needs `prepareDigests`. */
export const checkData = async (
  { blob, source: given, tables }: OpenedBlob,
  options: DataCheckOptions,
): Promise<CheckedData> => {
  const source = given && unpadded(given, blob);
  const { uses, anyBlobId, doubt } = options;
  const isLayer = (blob.features & BlobFeature.SEPARATE) !== 0;
  const holder = isLayer ? tables : source;
  const checked = holder && hasTables(blob) ? await checkBlob(holder, blob) : {};
  if (checked.table || checked.digests) {
    for (const chunk of uses.ofBlob(blob.index)) compareChunk(options.bootstrap, chunk, checked);
  }
  if (isLayer && tables) await checkTables(blob, tables, checked, doubt);
  if (!source) return { chunks: 0, bytes: 0 };

  const isSized = !source.padded; // else the end of the blob is not known
  const isExternal = (blob.features & BlobFeature.EXTERNAL) !== 0;
  const isNamed = !anyBlobId && !isExternal && isSized && isDigestName(blob.id);
  const data = isLayer ? {} : checked;
  const digest = digestOf(data);
  const pass = (bytes: Buffer): void => {
    options.signal?.throwIfAborted();
    digest.update(bytes);
  };
  const scan = isNamed || data.data ? new BlobScan(source, pass) : source;
  try {
    const used = uses.ofBlob(blob.index);
    // what the name of a blob proves need not be unpacked
    const chunks = isNamed ? used : withUnused(used, blob, checked);
    const read = await readChunks({ blob, source: scan, tables, checked }, chunks, options);
    if (scan instanceof BlobScan) {
      await scan.finish();
      checkDataDigest(blob, data, digest);
    }
    if (isNamed) checkNames(blob.id, digest.names(), { blob: blob.id });
    else if (blob.features & BlobFeature.TARFS) {
      doubt(`data of blob ${blob.id} are not verified: a tar has no digests but its own`);
    } else if (!anyBlobId && !(blob.features & BlobFeature.EXTERNAL)) {
      doubt(`of blob ${blob.id} only chunks and tables are verified: its id is not its sha256`);
    }
    return read;
  } finally {
    if (scan instanceof BlobScan) await scan.close();
  }
};

/** Without what follows the blob where it is kept; with it, if the image does not say its size. */
const unpadded = (source: ReaderAt, { features, compressedSize: size }: BlobRecord): ReaderAt => {
  const isSized = (features & BlobFeature.HAS_TAR_HEADER) === 0 && size <= source.size;
  if (!source.padded || !isSized) return source;
  const read: ReaderAt['read'] = (offset, length, into) => source.read(offset, length, into);
  return { size, read, close: () => source.close() };
};

/** Whether there can be tables in the blob, or beside it. */
const hasTables = ({ features }: BlobRecord): boolean =>
  (features & (BlobFeature.TARFS | BlobFeature.EXTERNAL)) === 0;

/** What the name of a file with a blob's tables must be; undefined if it says nothing. */
const tablesName = ({ metaDigest, cipherIv, metaFile = '' }: BlobRecord): string | undefined => {
  // an encrypted blob keeps its key there
  if (!cipherIv && !metaDigest.equals(NO_DIGEST)) return metaDigest.toString('hex');
  return isDigestName(metaFile) ? metaFile : undefined;
};

const checkTables = async (
  blob: BlobRecord,
  tables: ReaderAt,
  checked: CheckedBlob,
  doubt: (why: string) => void,
): Promise<void> => {
  const name = tablesName(blob);
  if (name === undefined) {
    doubt(`tables of blob ${blob.id} are not proven: their file is not named by its sha256`);
    return;
  }
  if (blob.metaSize > 0 && blob.metaSize !== tables.size) {
    const what = `expected ${blob.metaSize} bytes of tables, got ${tables.size}`;
    throw new RafsError('MISMATCH', what, { blob: blob.id });
  }
  await checkName(tables, name, digestOf(checked), { blob: blob.id, file: name });
};

/** Compares a file that may be a blob with the digest that it is named by. */
export const checkFileName = async (
  source: ReaderAt,
  name: string,
  at: Readonly<Record<string, string>>,
): Promise<void> => {
  const tail = await source.read(source.size - tailSize(source.size), tailSize(source.size));
  const section = sectionsOfTail(tail, source.size)?.find(({ name }) => name === Section.DIGEST);
  const unnamed = section && { start: section.offset, end: section.offset + section.size };
  await checkName(source, name, new BlobDigest(unnamed ? { unnamed } : {}), at);
};

const checkName = async (
  source: ReaderAt,
  name: string,
  digest: BlobDigest,
  at: Readonly<Record<string, string>>,
): Promise<void> => {
  const scan = new BlobScan(source, bytes => digest.update(bytes));
  try {
    await scan.finish();
  } finally {
    await scan.close();
  }
  checkNames(name, digest.names(), at);
};

const checkNames = (
  due: string,
  names: readonly string[],
  at: Readonly<Record<string, string>>,
): void => {
  if (names.includes(due)) return;
  const got = names.join(', or without the digests of chunks ');
  throw new RafsError('MISMATCH', `expected sha256 ${due}, got ${got}`, at);
};

const digestOf = ({ digests, digestsOffset: start = 0, data }: CheckedBlob): BlobDigest =>
  new BlobDigest({
    ...(digests ? { unnamed: { start, end: start + digests.length } } : {}),
    ...(data ? { data: { start: data.offset, end: data.offset + data.size + BLOCK_SIZE } } : {}),
  });

const checkDataDigest = ({ id }: BlobRecord, { data }: CheckedBlob, digest: BlobDigest): void => {
  if (!data) return;
  const due = data.digest?.toString('hex') ?? '';
  if (digest.data === due) return;
  const got = digest.data ?? 'less data';
  throw new RafsError('MISMATCH', `expected sha256 ${due}, got ${got}`, {
    blob: id,
    section: data.name,
  });
};

const readChunks = async (
  { blob, source, tables, checked }: OpenedBlob & { source: ReaderAt; checked: CheckedBlob },
  wanted: Iterable<StoredChunk>,
  { bootstrap, pool, signal }: DataCheckOptions,
): Promise<CheckedData> => {
  const copies = new PooledCopies(pool);
  const room: Allocator = size => (size <= pool.size ? copies.room(size) : allocate(size));
  const { table } = checked;
  const blocks = source instanceof BlobScan ? source.blocks : new BlobBlocks();
  const reader = new ChunkReader(blob, source, blocks, { tables, table, room });
  let chunks = 0;
  let bytes = 0;
  const counter = new Writable({
    objectMode: true,
    write(batch: Batch<ImagePart>, _encoding, done) {
      for (const part of batch) {
        if (part.kind !== 'chunk') continue;
        chunks += 1;
        bytes += part.bytes.length;
        pool.releaseBefore(part.bytes);
      }
      done();
    },
  });
  const stages = [blobChunks(reader, wanted), chunkVerifier({ bootstrap }), counter] as const;
  await pipeline(...stages, signal ? { signal } : {});
  return { chunks, bytes };
};
