/** How much of a file is a v5 bootstrap. */
import { alignUp } from '../../layout/align.js';
import { InodeFlagV5, InodeV5, SuperBlockV5, V5, XattrHeadV5 } from '../../layout/rafs-v5.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { u32, u64 } from '../../layout/struct.js';
import type { FindExtent } from '../extent.js';

const PIECE = 0x10_0000;
const FILE = 0x8000;

const padded = (size: number): number => alignUp(size, V5.ALIGN);

/** A bootstrap ends with the record that has the highest offset in the inode table. */
export const extentOfV5: FindExtent = function* (head, fileSize) {
  const { inodeTableOffset, inodeTableEntries } = SuperBlockV5.decode(head);
  const tableEnd = inodeTableOffset + inodeTableEntries * u32.size;
  let last = 0;
  for (let offset = inodeTableOffset; offset < tableEnd; offset += PIECE) {
    const piece = yield { offset, size: Math.min(PIECE, tableEnd - offset) };
    for (let at = 0; at < piece.length; at += u32.size) last = Math.max(last, u32.read(piece, at));
  }
  const offset = last * V5.ALIGN;
  const inode = InodeV5.decode(yield { offset, size: InodeV5.size });
  let size = offset + InodeV5.size + padded(inode.nameSize) + padded(inode.symlinkSize);
  if (inode.flags & InodeFlagV5.XATTR) {
    const head = yield { offset: size, size: XattrHeadV5.size };
    size += XattrHeadV5.size + padded(u64.read(head, 0));
  }
  if ((inode.mode & 0xf000) === FILE) size += inode.childCount * ChunkRecord.size;
  return { size, isWhole: size === fileSize };
};
