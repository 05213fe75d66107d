/** Writes a planned image into one buffer, each thing at its place in the order of the walk. */
import type { PlanV6 } from '../../../lib/bootstrap/v6/plan.js';
import { encodeDirents } from '../../../lib/bootstrap/v6/dirent-writer.js';
import { S_IFMT } from '../../../lib/model/mode.js';

/** All but the head, which has no windows: bytes from `metaOffset + 4096` to the end. */
export const modelEmit = (plan: PlanV6): Buffer => {
  const { tree, chunks, metaOffset, blockSize } = plan;
  const image = Buffer.alloc(plan.size);
  for (const row of plan.order) {
    const at = metaOffset + plan.offset[row]!;
    const type = tree.mode.get(row) & S_IFMT;
    const isFile = type === 0o100000;
    const isFlat = type === 0o040000 || type === 0o120000;
    const area = plan.xattrAreas[tree.xattrs.get(row)];
    const size = tree.size.get(row);
    image.writeUInt16LE(1 + 2 * plan.layout[row]!, at);
    image.writeUInt16LE(area?.icount ?? 0, at + 2);
    image.writeUInt16LE(tree.mode.get(row), at + 4);
    image.writeBigUInt64LE(BigInt(size), at + 8);
    image.writeUInt32LE(plan.ino[row]!, at + 20);
    image.writeUInt32LE(tree.uid.get(row), at + 24);
    image.writeUInt32LE(tree.gid.get(row), at + 28);
    image.writeBigUInt64LE(BigInt(tree.mtime.get(row)), at + 32);
    image.writeUInt32LE(tree.mtimeNsec.get(row), at + 40);
    image.writeUInt32LE(plan.nlink[row]!, at + 44);
    const behind = at + 64 + (area?.bytes.length ?? 0);
    area?.bytes.copy(image, at + 64);
    if (isFile) {
      const arrayAt = Math.ceil(behind / 8) * 8;
      const list = Array.from({ length: tree.chunkCount.get(row) }, (_, i) =>
        chunks.lists.get(tree.firstChunk.get(row) + i),
      );
      list.forEach((chunk, i) => {
        const index = chunks.index.get(chunk);
        image.writeUInt16LE(index % 0x10000, arrayAt + 8 * i);
        image[arrayAt + 8 * i + 2] = chunks.blobIndex.get(chunk) + 1;
        image[arrayAt + 8 * i + 3] = Math.floor(index / 0x10000);
        image.writeUInt32LE(chunks.uncompressedOffset.get(chunk) / blockSize, arrayAt + 8 * i + 4);
      });
      const inOneRun = list.every((chunk, i) => {
        if (i === 0) return true;
        const before = list[i - 1]!;
        return (
          chunks.blobIndex.get(before) === chunks.blobIndex.get(chunk) &&
          chunks.uncompressedOffset.get(before) + plan.chunkSize ===
            chunks.uncompressedOffset.get(chunk)
        );
      });
      let chunk = plan.chunkSize;
      if (inOneRun) while (chunk < size) chunk *= 2;
      let bits = 0;
      while (blockSize * 2 ** bits < chunk) bits++;
      image.writeUInt32LE(0x20 + bits, at + 16);
    } else if (isFlat) {
      const start = plan.childStart[row]!;
      const data =
        type === 0o120000
          ? Buffer.from(tree.target(row), 'latin1')
          : encodeDirents(
              tree,
              row,
              plan.children.subarray(start, start + plan.childCount[row]!),
              blockSize,
              size,
              child => plan.offset[child]! / 32,
            );
      const dataAt = metaOffset + plan.dataOffset[row]!;
      const tail = plan.layout[row] === 2 ? size % blockSize : 0;
      data.copy(image, dataAt, 0, size - tail);
      data.copy(image, behind, size - tail);
      image.writeUInt32LE(Math.floor(dataAt / blockSize), at + 16);
    } else image.writeUInt32LE(tree.rdev.get(row), at + 16);
  }
  plan.chunkOrder.forEach((row, i) => {
    const at = plan.chunkTableOffset + 80 * i;
    chunks.digest(row).copy(image, at);
    image.writeUInt32LE(chunks.blobIndex.get(row), at + 32);
    image.writeUInt32LE(chunks.flags.get(row), at + 36);
    image.writeUInt32LE(chunks.compressedSize.get(row), at + 40);
    image.writeUInt32LE(chunks.uncompressedSize.get(row), at + 44);
    image.writeBigUInt64LE(BigInt(chunks.compressedOffset.get(row)), at + 48);
    image.writeBigUInt64LE(BigInt(chunks.uncompressedOffset.get(row)), at + 56);
    image.writeBigUInt64LE(BigInt(plan.chunkFileOffset[row]!), at + 64);
    image.writeUInt32LE(chunks.index.get(row), at + 72);
    image.writeUInt32LE(chunks.crc32.get(row), at + 76);
  });
  return image.subarray(metaOffset + 4096);
};
