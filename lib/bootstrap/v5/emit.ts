/** The bytes of a planned v5 bootstrap, front to back. */
import { chunksOf, headSize, storedNameSize, type PlanV5 } from './plan.js';
import { alignUp } from '../../layout/align.js';
import { RafsError } from '../../errors.js';
import {
  ExtendedBlobEntryV5,
  InodeFlagV5,
  InodeV5,
  SuperBlockV5,
  V5,
} from '../../layout/rafs-v5.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { u32 } from '../../layout/struct.js';
import { xattrSpace } from './xattrs.js';

/** Bytes are made in pieces of about this size. */
const WINDOW = 0x40000;

/** Pieces of a bootstrap, none much larger than 256 KiB unless the xattrs of an inode are. */
export function* emitV5(plan: PlanV5): Iterable<Buffer> {
  yield superBlock(plan);
  yield* numbers(plan.offset8);
  yield* numbers(plan.prefetch);
  if (plan.blobs.length > 0) yield Buffer.concat([plan.blobTable, extendedBlobTable(plan)]);
  yield* records(plan);
}

const superBlock = (plan: PlanV5): Buffer =>
  SuperBlockV5.encode({
    chunkSize: plan.chunkSize,
    flags: plan.flags,
    inodeCount: plan.inodeCount,
    inodeTableOffset: V5.SUPER_SIZE,
    prefetchTableOffset: plan.prefetchOffset,
    blobTableOffset: plan.blobOffset,
    inodeTableEntries: plan.rows.length,
    prefetchTableEntries: plan.prefetch.length,
    blobTableSize: plan.blobTable.length,
    extendedBlobTableEntries: plan.blobs.length,
    extendedBlobTableOffset: plan.extendedBlobOffset,
  });

/** A table of 32-bit numbers, padded to the format's unit. */
function* numbers(table: ArrayLike<number>): Iterable<Buffer> {
  const perPiece = WINDOW / u32.size;
  for (let from = 0; from < table.length; from += perPiece) {
    const count = Math.min(perPiece, table.length - from);
    const piece = Buffer.alloc(alignUp(u32.size * count, V5.ALIGN));
    for (let i = 0; i < count; i++) u32.write(piece, u32.size * i, table[from + i]!);
    yield piece;
  }
}

const extendedBlobTable = ({ blobs }: PlanV5): Buffer =>
  Buffer.concat(
    blobs.map(({ chunkCount, features, uncompressedSize, compressedSize }) =>
      ExtendedBlobEntryV5.encode({ chunkCount, features, uncompressedSize, compressedSize }),
    ),
  );

/** Every inode with its name, target and xattrs, followed by the chunks of a file. */
function* records(plan: PlanV5): Iterable<Buffer> {
  const { tree, rows, order } = plan;
  let piece = Buffer.alloc(WINDOW);
  let at = 0;
  for (const place of order) {
    const row = rows[place]!;
    const size = headSize(plan, row);
    if (at + size > piece.length) {
      yield piece.subarray(0, at);
      piece = Buffer.alloc(Math.max(WINDOW, size));
      at = 0;
    }
    encodeHead(plan, place, piece, at);
    at += size;
    const count = chunksOf(tree, row);
    for (let i = 0; i < count; i++) {
      if (at + ChunkRecord.size > piece.length) {
        yield piece.subarray(0, at);
        piece = Buffer.alloc(WINDOW);
        at = 0;
      }
      encodeChunk(plan, row, i, piece, at);
      at += ChunkRecord.size;
    }
  }
  yield piece.subarray(0, at);
}

const encodeHead = (plan: PlanV5, place: number, piece: Buffer, at: number): void => {
  const { tree } = plan;
  const row = plan.rows[place]!;
  const area = plan.xattrAreas[tree.xattrs.get(row)];
  const target = tree.isType(row, 'symlink') ? tree.target(row) : '';
  const nameSize = storedNameSize(tree, row);
  const size = tree.size.get(row);
  const isDirectory = tree.isType(row, 'directory');
  const digestAt = place * 32;
  InodeV5.encodeInto(piece, at, {
    digest: plan.digests.subarray(digestAt, digestAt + 32),
    parent: plan.parent[place]!,
    ino: plan.ino[place]!,
    uid: tree.uid.get(row),
    gid: tree.gid.get(row),
    projid: 0,
    mode: tree.mode.get(row),
    size,
    blocks: Math.ceil((size + xattrSpace(area)) / 512),
    flags:
      (tree.isType(row, 'symlink') ? InodeFlagV5.SYMLINK : 0) +
      (tree.hardlink.get(row) ? InodeFlagV5.HARDLINK : 0) +
      (area ? InodeFlagV5.XATTR : 0),
    nlink: plan.nlink[place]!,
    childIndex: plan.childIndex[place]!,
    childCount: isDirectory ? plan.childCount[place]! : chunksOf(tree, row),
    nameSize,
    symlinkSize: target.length,
    rdev: tree.rdev.get(row),
    mtimeNsec: tree.mtimeNsec.get(row),
    mtime: tree.mtime.get(row),
  });
  let end = at + InodeV5.size;
  piece.write(tree.name(row) || '/', end, 'latin1');
  end += alignUp(nameSize, V5.ALIGN);
  piece.write(target, end, 'latin1');
  end += alignUp(target.length, V5.ALIGN);
  area?.copy(piece, end);
};

const encodeChunk = (plan: PlanV5, row: number, i: number, piece: Buffer, at: number): void => {
  const { chunks, chunkSize, tree } = plan;
  const chunk = chunks.lists.get(tree.firstChunk.get(row) + i);
  const index = chunks.index.get(chunk);
  if (index > V5.MAX_CHUNK_INDEX)
    throw new RafsError('LIMIT', `chunk index ${index} is too large for the format`);
  chunks.encodeInto(piece, at, chunk, i * chunkSize);
};
