/**
 * Reads RAFS v6 bootstraps. It checks the rules of the format, including those that other readers
 * ignore; a bootstrap that opens can still fail when more of it is read.
 */
import type { Bootstrap } from '../bootstrap.js';
import type { BlobRecord, Child, Inode, InodeType, StoredChunk } from '../../model/stored.js';
import { typeOfMode } from '../../model/mode.js';
import { alignUp } from '../../layout/align.js';
import type { Compressor } from '../../layout/compressors.js';
import type { Digester } from '../../crypto/digest.js';
import { located, RafsError, corrupt } from '../../errors.js';
import { ChunkIndex } from './chunk-index.js';
import { BlobFeature } from '../../layout/blob.js';
import {
  ChunkIndexEntry,
  CompactInode,
  Dirent,
  ExtendedInode,
  FileType,
  InodeLayout,
  V6,
  XattrEntry,
  XattrHeader,
} from '../../layout/rafs-v6.js';
import { ChunkFlag, ChunkRecord, SuperFlag, XATTR_PREFIXES } from '../../layout/rafs.js';
import { readDirents } from './dirent-reader.js';
import { readTables, type Tables } from './tables.js';
import { u16, type ValueOf } from '../../layout/struct.js';
import { NO_DIGEST } from '../../crypto/digest.js';

const MAX_SYMLINK = 4096;

const DIRENT_TYPES: Readonly<Record<number, InodeType>> = {
  [FileType.FILE]: 'file',
  [FileType.DIRECTORY]: 'directory',
  [FileType.CHAR]: 'char',
  [FileType.BLOCK]: 'block',
  [FileType.FIFO]: 'fifo',
  [FileType.SOCKET]: 'socket',
  [FileType.SYMLINK]: 'symlink',
};

/** An inode, and where the data that belong to it lie. */
interface InodeV6 extends Inode {
  layout: number;
  /** after inode and xattrs: the inline tail, or (aligned to 8) the chunk index */
  bodyOffset: number;
  xattrOffset: number;
  xattrSize: number;
  /** data block of a directory or symlink */
  blkaddr: number;
}

class ImageV6 implements Bootstrap {
  readonly version = 6;
  readonly flags: number;
  readonly chunkSize: number;
  readonly blockSize: number;
  readonly compressor: Compressor;
  readonly digester: Digester;
  readonly tarfs: boolean;
  readonly blobs: readonly BlobRecord[];
  readonly inodeCount: number;
  readonly rootId: number;
  readonly idLimit: number;
  readonly limits: Bootstrap['limits'];
  readonly prefetch: readonly number[];
  readonly tables: Bootstrap['tables'];
  #image: Buffer;
  #metaOffset: number;
  #chunkIndex: ChunkIndex | undefined;

  constructor(image: Buffer, tables: Tables) {
    this.#image = image;
    this.flags = tables.flags;
    this.chunkSize = tables.chunkSize;
    this.blockSize = tables.blockSize;
    this.compressor = tables.compressor;
    this.digester = tables.digester;
    this.tarfs = (tables.flags & SuperFlag.TARTFS_MODE) !== 0;
    this.blobs = tables.blobs;
    this.inodeCount = tables.inodeCount;
    this.rootId = tables.rootNid;
    this.prefetch = tables.prefetch;
    this.tables = tables.places;
    this.#metaOffset = tables.metaOffset;
    this.limits = {
      names: Math.floor(image.length / (Dirent.size + 1)),
      chunks: Math.floor(image.length / ChunkIndexEntry.size),
    };
    this.idLimit = Math.floor((image.length - tables.metaOffset) / V6.SLOT_SIZE);
  }

  inode(id: number): InodeV6 {
    const at = this.#metaOffset + id * V6.SLOT_SIZE;
    if (!(id > 0 && id < this.idLimit)) throw corrupt(`no inode has nid ${id}`);
    const image = this.#image;
    const extended = (u16.read(image, at) & 1) === 1;
    const disk = extended
      ? ExtendedInode.decode(image, at)
      : { ...CompactInode.decode(image, at), mtime: 0, mtimeNsec: 0 };
    const type = typeOfMode(disk.mode);
    if (!type) throw corrupt(`inode ${id} has invalid mode 0x${disk.mode.toString(16)}`);
    const layout = disk.format >> 1;
    const expected = layout === InodeLayout.CHUNK_BASED ? type === 'file' : type !== 'file';
    const known = layout === InodeLayout.CHUNK_BASED || layout === 0 || layout === 2;
    if (!known || !expected)
      throw corrupt(`inode ${id}, a ${type}, has invalid format ${disk.format}`);
    if (disk.nlink === 0) throw corrupt(`inode ${id} has no links`);
    const xattrSize =
      disk.xattrIcount === 0 ? 0 : XattrHeader.size + (disk.xattrIcount - 1) * XattrEntry.size;
    const xattrOffset = at + (extended ? ExtendedInode.size : CompactInode.size);
    if (xattrOffset + xattrSize > image.length) {
      throw corrupt(`${xattrSize} bytes of xattrs extend past the end of the image`, { inode: id });
    }
    const device = type === 'char' || type === 'block';
    return {
      id,
      type,
      mode: disk.mode,
      uid: disk.uid,
      gid: disk.gid,
      mtime: disk.mtime,
      mtimeNsec: disk.mtimeNsec,
      size: disk.size,
      nlink: disk.nlink,
      blocks: Math.ceil(disk.size / 512),
      rdev: device ? disk.union1 : 0,
      hasXattr: disk.xattrIcount > 0,
      chunkCount: Math.ceil(disk.size / this.chunkSize),
      childIndex: 0,
      symlinkSize: disk.size % 0x10000,
      layout,
      bodyOffset: xattrOffset + xattrSize,
      xattrOffset,
      xattrSize,
      blkaddr: disk.union1,
    };
  }

  *children(dir: Inode, parentId: number): Iterable<Child> {
    const own = this.#own(dir);
    const { id, type, size } = own;
    if (type !== 'directory') throw corrupt(`inode ${id} is a ${type}, not a directory`);
    if (size === 0) throw corrupt(`directory ${id} has no entries`);
    let last = '';
    let dots = 0;
    for (const [start, end] of this.#dataBlocks(own)) {
      for (const { name, nid, fileType, offset } of readDirents(this.#image, start, end)) {
        if (name <= last) throw corrupt('names are not in order', { inode: id, offset });
        last = name;
        if (name === '.' || name === '..') {
          dots += 1;
          const due = name === '.' ? id : parentId;
          if (nid !== due)
            throw corrupt(`'${name}': expected inode ${due}, got ${nid}`, { inode: id });
          continue;
        }
        this.#checkType(nid, fileType, offset);
        yield { name, id: nid };
      }
    }
    if (dots !== 2) throw corrupt(`'.' or '..' is missing`, { inode: id });
  }

  *chunks(file: Inode): Iterable<StoredChunk> {
    const { id, type, size, bodyOffset, chunkCount } = this.#own(file);
    if (type !== 'file') return;
    const start = alignUp(bodyOffset, ChunkIndexEntry.size);
    if (start + chunkCount * ChunkIndexEntry.size > this.#image.length) {
      throw corrupt(
        `the chunk index of a file of ${size} bytes extends past the end of the image`,
        {
          inode: id,
        },
      );
    }
    for (let i = 0; i < chunkCount; i++) {
      const fileOffset = i * this.chunkSize;
      const due = Math.min(this.chunkSize, size - fileOffset);
      try {
        yield this.#chunk(start + i * ChunkIndexEntry.size, fileOffset, due);
      } catch (error) {
        throw located(error, { inode: id, chunk: i });
      }
    }
  }

  xattrs(inode: Inode): ReadonlyMap<string, Buffer> {
    const { id, xattrOffset, xattrSize } = this.#own(inode);
    const found = new Map<string, Buffer>();
    if (xattrSize === 0) return found;
    const image = this.#image;
    if (XattrHeader.decode(image, xattrOffset).sharedCount !== 0) {
      throw new RafsError('UNSUPPORTED', 'shared xattrs are not supported', { inode: id });
    }
    const end = xattrOffset + xattrSize;
    let at = xattrOffset + XattrHeader.size;
    while (at < end) {
      const { nameSize, nameIndex, valueSize } = XattrEntry.decode(image, at);
      const prefix = XATTR_PREFIXES.find(([, index]) => index === nameIndex)?.[0];
      if (prefix === undefined) throw corrupt(`unknown xattr prefix ${nameIndex}`, { inode: id });
      const nameOffset = at + XattrEntry.size;
      const valueOffset = nameOffset + nameSize;
      const next = valueOffset + valueSize;
      if (next > end) throw corrupt('an xattr extends past the end of its area', { inode: id });
      const name = prefix + image.toString('latin1', nameOffset, valueOffset);
      if (name.includes('\0') || found.has(name)) {
        throw corrupt('the name of an xattr contains a NUL or occurs twice', { inode: id });
      }
      found.set(name, Buffer.from(image.subarray(valueOffset, next)));
      at += alignUp(next - at, XattrEntry.size);
    }
    return found;
  }

  symlinkTarget(symlink: Inode): string {
    const own = this.#own(symlink);
    if (own.type !== 'symlink' || own.size === 0 || own.size > MAX_SYMLINK) {
      throw corrupt(`a ${own.type} of ${own.size} bytes is not a valid symlink`, { inode: own.id });
    }
    let target = '';
    for (const [start, end] of this.#dataBlocks(own)) {
      target += this.#image.toString('latin1', start, end);
    }
    if (target.includes('\0'))
      throw corrupt('the target of a symlink contains a NUL', { inode: own.id });
    return target;
  }

  /** The inode as this image decoded it; one from elsewhere is read again. */
  #own(inode: Inode): InodeV6 {
    return 'bodyOffset' in inode ? (inode as InodeV6) : this.inode(inode.id); // set only here
  }

  /** Where the data of a directory or symlink lie, block by block; checked to be in the image. */
  *#dataBlocks(inode: InodeV6): Iterable<[start: number, end: number]> {
    const { id, size, layout, blkaddr, bodyOffset } = inode;
    const inline = layout === InodeLayout.FLAT_INLINE;
    const fullSize = Math.floor(size / this.blockSize) * this.blockSize;
    const tailSize = size - fullSize;
    const dataOffset = blkaddr * this.blockSize;
    const dataSize = inline ? fullSize : size;
    const fits =
      dataSize === 0 ||
      (dataOffset + dataSize <= this.#image.length && dataOffset >= this.#metaOffset);
    if (!fits || (inline && bodyOffset + tailSize > this.#image.length)) {
      throw corrupt(`${size} bytes of ${inode.type} data lie outside the image`, { inode: id });
    }
    for (let at = 0; at < fullSize; at += this.blockSize) {
      yield [dataOffset + at, dataOffset + at + this.blockSize];
    }
    if (tailSize === 0) return;
    const start = inline ? bodyOffset : dataOffset + fullSize;
    // an inline tail must end in the block in which it starts
    if (
      inline &&
      Math.floor(start / this.blockSize) !== Math.floor((start + tailSize - 1) / this.blockSize)
    ) {
      throw corrupt('an inline tail crosses the end of its block', { inode: id });
    }
    yield [start, start + tailSize];
  }

  #checkType(nid: number, fileType: number, at: number): void {
    const due = DIRENT_TYPES[fileType];
    if (fileType === FileType.UNKNOWN || !(nid > 0 && nid < this.idLimit)) return;
    const mode = u16.read(
      this.#image,
      this.#metaOffset + nid * V6.SLOT_SIZE + ExtendedInode.offsets.mode,
    );
    if (!due || typeOfMode(mode) !== due) {
      throw corrupt(`an entry of type ${fileType} does not match mode 0x${mode.toString(16)}`, {
        offset: at,
      });
    }
  }

  #chunk(at: number, fileOffset: number, due: number): StoredChunk {
    const entry = ChunkIndexEntry.decode(this.#image, at);
    const blobIndex = entry.deviceId - 1;
    const index = entry.chunkIndexHigh * 0x10000 + entry.chunkIndexLow;
    const blob = this.blobs[blobIndex];
    if (!blob)
      throw corrupt(`expected a device id of at most ${this.blobs.length}, got ${entry.deviceId}`);
    const loose = BlobFeature.IS_CHUNKDICT_GENERATED | BlobFeature.TARFS;
    if (index >= blob.chunkCount && !(blob.features & loose)) {
      throw corrupt(`expected a chunk index below ${blob.chunkCount}, got ${index}`, {
        blob: blob.id,
      });
    }
    const uncompressedOffset = entry.blkaddr * this.blockSize;
    if (this.tarfs) {
      if (uncompressedOffset + due > blob.uncompressedSize) {
        throw corrupt(
          `${due} bytes at ${uncompressedOffset} extend past the end of the blob at ${blob.uncompressedSize}`,
          {
            blob: blob.id,
          },
        );
      }
      return {
        digest: NO_DIGEST,
        blobIndex,
        index,
        fileOffset,
        uncompressedSize: due,
        compressedSize: due,
        uncompressedOffset,
        compressedOffset: uncompressedOffset,
        compressed: false,
        encrypted: false,
        recordedOffset: 0,
      };
    }
    const record = this.#record(blobIndex, index, entry.blkaddr);
    if (record.uncompressedSize !== due) {
      throw corrupt(`expected a chunk of ${due} bytes, got ${record.uncompressedSize}`, {
        blob: blob.id,
      });
    }
    record.fileOffset = fileOffset;
    return record;
  }

  *chunkRecords(): Iterable<StoredChunk> {
    const { offset, size } = this.tables.chunk;
    for (let at = offset; at < offset + size; at += ChunkRecord.size) {
      yield this.chunkRecord(at);
    }
  }

  chunkRecord(at: number): StoredChunk {
    const record = ChunkRecord.decode(this.#image, at);
    if (record.blobIndex >= this.blobs.length) {
      throw corrupt(`expected a blob index below ${this.blobs.length}, got ${record.blobIndex}`, {
        offset: at,
      });
    }
    return storedChunk(record, at);
  }

  #record(blobIndex: number, index: number, blkaddr: number): StoredChunk {
    this.#chunkIndex ??= new ChunkIndex(this.#image, this.tables.chunk, this.blobs);
    const at = this.#chunkIndex.find(blobIndex, index);
    if (at === undefined) {
      throw corrupt(`the chunk table has no chunk ${index}`, { blob: this.blobs[blobIndex]!.id });
    }
    const record = this.chunkRecord(at);
    if (Math.floor(record.uncompressedOffset / this.blockSize) !== blkaddr) {
      throw corrupt(
        `expected a chunk in block ${blkaddr}, got offset ${record.uncompressedOffset}`,
        {
          blob: this.blobs[blobIndex]!.id,
        },
      );
    }
    return record;
  }
}

const storedChunk = (
  { digest, flags, crc32, ...record }: ValueOf<typeof ChunkRecord>,
  recordAt: number,
): StoredChunk => ({
  digest,
  blobIndex: record.blobIndex,
  index: record.index,
  fileOffset: 0,
  uncompressedSize: record.uncompressedSize,
  compressedSize: record.compressedSize,
  uncompressedOffset: record.uncompressedOffset,
  compressedOffset: record.compressedOffset,
  compressed: (flags & ChunkFlag.COMPRESSED) !== 0,
  encrypted: (flags & ChunkFlag.ENCRYPTED) !== 0,
  recordedOffset: record.fileOffset,
  recordAt,
  ...(flags & ChunkFlag.HAS_CRC32 ? { crc32 } : {}),
});

/** Reads a v6 bootstrap; `image` is the whole file. Fails with CORRUPT, UNSUPPORTED or LIMIT. */
export const parseV6 = (image: Buffer): Bootstrap => {
  const bootstrap = new ImageV6(image, readTables(image));
  const root = bootstrap.inode(bootstrap.rootId);
  if (root.type !== 'directory') throw corrupt(`the root is a ${root.type}, not a directory`);
  return bootstrap;
};
