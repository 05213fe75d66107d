/**
 * Reads RAFS v5 bootstraps. It checks the rules of the format, including those that other readers
 * ignore; a bootstrap that opens can still fail when more of it is read.
 *
 * Every name has a record of its own, found by its index in the inode table. A child's `id` is that
 * index. An inode's `id` is its number: for a further name of a file, the index of the first name.
 */
import type { Bootstrap } from '../bootstrap.js';
import type { BlobRecord, Child, Inode, StoredChunk } from '../../model/stored.js';
import { typeOfMode } from '../../model/mode.js';
import { alignUp } from '../../layout/align.js';
import type { Compressor } from '../../layout/compressors.js';
import { digest, DIGEST_SIZE, type Digester } from '../../crypto/digest.js';
import { located, RafsError, corrupt } from '../../errors.js';
import { readTablesV5, type TablesV5 } from './tables.js';
import { BlobFeature } from '../../layout/blob.js';
import { InodeFlagV5, InodeV5, V5, XattrHeadV5 } from '../../layout/rafs-v5.js';
import { ChunkFlag, ChunkRecord } from '../../layout/rafs.js';
import { u16, u64 } from '../../layout/struct.js';
import { readXattrsV5 } from './xattrs.js';

const CHUNK_FLAGS = Object.values(ChunkFlag).reduce((sum, flag) => sum | flag, 0);

/** An inode, and where the parts of its record lie. */
interface InodeOfV5 extends Inode {
  /** place in the inode table */
  index: number;
  parent: number;
  digest: Buffer;
  childCount: number;
  hasHole: boolean;
  targetOffset: number;
  xattrOffset: number;
  xattrSize: number;
  chunksOffset: number;
}

class ImageV5 implements Bootstrap {
  readonly version = 5;
  readonly flags: number;
  readonly chunkSize: number;
  readonly blockSize = 4096;
  readonly compressor: Compressor;
  readonly digester: Digester;
  readonly tarfs = false;
  readonly blobs: readonly BlobRecord[];
  readonly inodeCount: number;
  readonly rootId = V5.ROOT;
  readonly idLimit: number;
  readonly limits: Bootstrap['limits'];
  readonly prefetch: readonly number[];
  readonly tables: Bootstrap['tables'];
  readonly recordPerName = true;
  #image: Buffer;
  #offsets8: Uint32Array;
  /** the same in ascending order: no record may reach into the next one */
  #sorted8: Uint32Array;
  /** the one file of a chunk dictionary has chunks of any size */
  #looseChunks: boolean;

  constructor(image: Buffer, tables: TablesV5) {
    this.#image = image;
    this.flags = tables.flags;
    this.chunkSize = tables.chunkSize;
    this.compressor = tables.compressor;
    this.digester = tables.digester;
    this.blobs = tables.blobs;
    this.inodeCount = tables.inodeCount;
    this.prefetch = tables.prefetch;
    this.tables = tables.places;
    this.#offsets8 = tables.offsets8;
    this.#sorted8 = tables.offsets8.slice().sort();
    this.#looseChunks = tables.blobs.some(
      ({ features }) => features & BlobFeature.IS_CHUNKDICT_GENERATED,
    );
    this.idLimit = tables.offsets8.length + 1;
    this.limits = {
      names: tables.offsets8.length,
      chunks: Math.floor(image.length / ChunkRecord.size),
    };
  }

  /** The inode at an index. */
  inode(index: number): InodeOfV5 {
    const at = this.#recordAt(index);
    const end = this.#recordEnd(at);
    const image = this.#image;
    const disk = InodeV5.decode(image, at);
    const { ino, parent, nlink, childCount, childIndex, flags } = disk;
    const type = typeOfMode(disk.mode);
    if (!type) throw corrupt(`inode ${index} has invalid mode 0x${disk.mode.toString(16)}`);
    if (nlink === 0) throw corrupt(`inode ${index} has no links`);
    const further = type !== 'directory' && nlink > 1 && ino > 0 && ino < index;
    if (ino !== index && !further)
      throw corrupt(`inode ${index}, a ${type}, has invalid number ${ino}`);
    if (index === V5.ROOT ? parent !== 0 : !(parent > 0 && parent < index)) {
      throw corrupt(`inode ${index} has invalid parent ${parent}`);
    }
    if (!(disk.nameSize > 0 && disk.nameSize <= V5.MAX_NAME)) {
      throw corrupt(`inode ${index} has an invalid name size ${disk.nameSize}`);
    }
    if (type === 'directory' && childCount > 0) {
      const last = childIndex + childCount - 1;
      if (!(childIndex > index && last < this.idLimit)) {
        throw corrupt(`directory ${index} has invalid children ${childIndex} to ${last}`);
      }
    }
    if ((type === 'symlink') !== disk.symlinkSize > 0) {
      throw corrupt(`inode ${index}, a ${type}, cannot have a target of ${disk.symlinkSize} bytes`);
    }

    const targetOffset = at + InodeV5.size + alignUp(disk.nameSize, V5.ALIGN);
    const xattrHead = targetOffset + alignUp(disk.symlinkSize, V5.ALIGN);
    const hasXattr = (flags & InodeFlagV5.XATTR) !== 0;
    const xattrOffset = xattrHead + (hasXattr ? XattrHeadV5.size : 0);
    if (xattrOffset > end)
      throw corrupt(`inode ${index} extends past the end of its record at ${end}`);
    const xattrSize = hasXattr ? u64.read(image, xattrHead) : 0;
    const chunksOffset = xattrOffset + alignUp(xattrSize, V5.ALIGN);
    const chunksSize = type === 'file' ? childCount * ChunkRecord.size : 0;
    if (chunksOffset + chunksSize > end) {
      throw corrupt(
        `inode ${index} with ${xattrSize} bytes of xattrs and ${chunksSize} of chunks ` +
          `extends past the end of its record at ${end}`,
      );
    }
    const hasHole = (flags & InodeFlagV5.HAS_HOLE) !== 0;
    const due = Math.ceil(disk.size / this.chunkSize);
    if (type === 'file' && childCount !== due && !hasHole && !this.#looseChunks) {
      throw corrupt(
        `inode ${index} of ${disk.size} bytes: expected ${due} chunks, got ${childCount}`,
      );
    }
    return {
      id: ino,
      index,
      type,
      parent,
      digest: disk.digest,
      mode: disk.mode,
      uid: disk.uid,
      gid: disk.gid,
      mtime: disk.mtime,
      mtimeNsec: disk.mtimeNsec,
      size: disk.size,
      nlink,
      blocks: disk.blocks,
      rdev: disk.rdev,
      hasXattr,
      hardlink: (flags & InodeFlagV5.HARDLINK) !== 0,
      chunkCount: type === 'directory' ? 0 : childCount,
      childCount,
      childIndex,
      symlinkSize: disk.symlinkSize,
      hasHole,
      targetOffset,
      xattrOffset,
      xattrSize,
      chunksOffset,
    };
  }

  *children(dir: Inode, parentId: number): Iterable<Child> {
    const { id, type, parent, childIndex, childCount } = this.#own(dir);
    if (type !== 'directory') throw corrupt(`inode ${id} is a ${type}, not a directory`);
    const due = id === V5.ROOT ? 0 : parentId;
    if (parent !== due) throw corrupt(`directory ${id}: expected parent ${due}, got ${parent}`);
    const image = this.#image;
    let last = '';
    for (let index = childIndex; index < childIndex + childCount; index++) {
      const at = this.#recordAt(index);
      // each record says which directory it is in, so no two directories can share one
      const owner = u64.read(image, at + InodeV5.offsets.parent);
      if (owner !== id) throw corrupt(`inode ${index}: expected parent ${id}, got ${owner}`);
      const nameOffset = at + InodeV5.size;
      const nameEnd = nameOffset + u16.read(image, at + InodeV5.offsets.nameSize);
      if (nameEnd > this.#recordEnd(at)) {
        throw corrupt(`the name of inode ${index} extends past the end of its record`);
      }
      const name = image.toString('latin1', nameOffset, nameEnd);
      if (name <= last) throw corrupt('names are not in order', { inode: id, offset: at });
      if (name === '.' || name === '..' || /[/\0]/.test(name)) {
        throw corrupt('invalid file name', { inode: index });
      }
      last = name;
      yield { name, id: index };
    }
  }

  *chunks(file: Inode): Iterable<StoredChunk> {
    const own = this.#own(file);
    if (own.type !== 'file') return;
    if (own.hasHole)
      throw new RafsError('UNSUPPORTED', 'files with holes are not supported', {
        inode: own.index,
      });
    let fileOffset = 0;
    for (let i = 0; i < own.childCount; i++) {
      try {
        const chunk = this.#chunk(own.chunksOffset + i * ChunkRecord.size, fileOffset, own.size);
        fileOffset += chunk.uncompressedSize;
        yield chunk;
      } catch (error) {
        throw located(error, { inode: own.index, chunk: i });
      }
    }
    if (fileOffset !== own.size) {
      throw corrupt(`expected chunks of ${own.size} bytes, got ${fileOffset}`, {
        inode: own.index,
      });
    }
  }

  xattrs(inode: Inode): ReadonlyMap<string, Buffer> {
    const { index, xattrOffset, xattrSize } = this.#own(inode);
    try {
      return readXattrsV5(this.#image, xattrOffset, xattrOffset + xattrSize);
    } catch (error) {
      throw located(error, { inode: index });
    }
  }

  symlinkTarget(symlink: Inode): string {
    const { index, type, size, symlinkSize, targetOffset } = this.#own(symlink);
    if (type !== 'symlink') throw corrupt(`inode ${index} is a ${type}, not a symlink`);
    if (size !== symlinkSize) {
      throw corrupt(`a symlink of ${size} bytes has a target of ${symlinkSize} bytes`, {
        inode: index,
      });
    }
    const target = this.#image.toString('latin1', targetOffset, targetOffset + symlinkSize);
    if (target.includes('\0'))
      throw corrupt('the target of a symlink contains a NUL', { inode: index });
    return target;
  }

  /**
   * Compares the digest of an inode with that of the data it covers, and a further name of a file
   * with the first. Digests of children are taken as they are: they are verified with the children.
   */
  verifyRecord(inode: Inode): void {
    const own = this.#own(inode);
    const due = digest(this.digester, this.#digested(own));
    if (!own.digest.equals(due)) {
      throw new RafsError(
        'MISMATCH',
        `expected digest ${due.toString('hex')}, got ${own.digest.toString('hex')}`,
        { inode: own.index },
      );
    }
    if (own.index === own.id) return;
    const first = this.inode(own.id);
    const same =
      first.type === own.type &&
      first.id === own.id &&
      first.nlink === own.nlink &&
      first.size === own.size &&
      first.digest.equals(own.digest);
    if (!same) throw corrupt(`inodes ${own.id} and ${own.index} are not names of the same file`);
  }

  /** What the digest of an inode covers. */
  #digested(own: InodeOfV5): Buffer {
    if (own.type === 'symlink') return Buffer.from(this.symlinkTarget(own), 'latin1');
    const count = own.type === 'directory' || own.type === 'file' ? own.childCount : 0;
    const joined = Buffer.alloc(DIGEST_SIZE * count);
    for (let i = 0; i < count; i++) {
      const at =
        own.type === 'directory'
          ? this.#recordAt(own.childIndex + i) + InodeV5.offsets.digest
          : own.chunksOffset + ChunkRecord.size * i;
      this.#image.copy(joined, DIGEST_SIZE * i, at, at + DIGEST_SIZE);
    }
    return joined;
  }

  /** The inode as this image decoded it; one from elsewhere is read again. */
  #own(inode: Inode): InodeOfV5 {
    return 'chunksOffset' in inode ? (inode as InodeOfV5) : this.inode(inode.id); // set only here
  }

  #recordAt(index: number): number {
    const offset8 = this.#offsets8[index - 1];
    if (offset8 === undefined) throw corrupt(`no inode has index ${index}`);
    return offset8 * V5.ALIGN;
  }

  /** Where the record at `at` must end: no later than the next one starts, or the image ends. */
  #recordEnd(at: number): number {
    const sorted = this.#sorted8;
    const at8 = at / V5.ALIGN;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]! <= at8) low = middle + 1;
      else high = middle;
    }
    if (low > 1 && sorted[low - 2] === at8) throw corrupt('two inodes share a record', { at });
    return low < sorted.length ? sorted[low]! * V5.ALIGN : this.#image.length;
  }

  #chunk(at: number, fileOffset: number, fileSize: number): StoredChunk {
    const chunk = this.chunkRecord(at);
    const { uncompressedSize } = chunk;
    if (chunk.fileOffset !== fileOffset) {
      throw corrupt(`expected a chunk at ${fileOffset} of its file, got ${chunk.fileOffset}`);
    }
    const most = Math.min(this.chunkSize, fileSize - fileOffset);
    const fits = this.#looseChunks
      ? uncompressedSize > 0 && uncompressedSize <= most
      : uncompressedSize === most;
    if (!fits)
      throw corrupt(`expected a chunk of ${most} bytes, got ${uncompressedSize}`, {
        blob: this.blobs[chunk.blobIndex]!.id,
      });
    return chunk;
  }

  chunkRecord(at: number): StoredChunk {
    const record = ChunkRecord.decode(this.#image, at);
    const { blobIndex, flags, index } = record;
    const blob = this.blobs[blobIndex];
    if (!blob) throw corrupt(`expected a blob index below ${this.blobs.length}, got ${blobIndex}`);
    if (flags & ~CHUNK_FLAGS || flags & ChunkFlag.BATCH) {
      throw corrupt(`invalid chunk flags 0x${flags.toString(16)}`, { blob: blob.id });
    }
    if (flags & ChunkFlag.HOLE)
      throw new RafsError('UNSUPPORTED', 'chunks that are holes are not supported');
    if (index > V5.MAX_CHUNK_INDEX || (index >= blob.chunkCount && !blob.uncounted)) {
      throw corrupt(`expected a chunk index below ${blob.chunkCount}, got ${index}`, {
        blob: blob.id,
      });
    }
    return {
      digest: record.digest,
      blobIndex,
      index,
      fileOffset: record.fileOffset,
      uncompressedSize: record.uncompressedSize,
      compressedSize: record.compressedSize,
      uncompressedOffset: record.uncompressedOffset,
      compressedOffset: record.compressedOffset,
      compressed: (flags & ChunkFlag.COMPRESSED) !== 0,
      encrypted: (flags & ChunkFlag.ENCRYPTED) !== 0,
      ...(flags & ChunkFlag.HAS_CRC32 ? { crc32: record.crc32 } : {}),
      recordAt: at,
    };
  }
}

/** Reads a v5 bootstrap; `image` is the whole file. Fails with CORRUPT, UNSUPPORTED or LIMIT. */
export const parseV5 = (image: Buffer): Bootstrap => {
  const bootstrap = new ImageV5(image, readTablesV5(image));
  const root = bootstrap.inode(V5.ROOT);
  if (root.type !== 'directory') throw corrupt(`the root is a ${root.type}, not a directory`);
  return bootstrap;
};
