/** How much of a file is a v6 bootstrap. */
import { alignUp } from '../../layout/align.js';
import { DeviceSlot, ExtendedSuperBlock, SuperBlock, V6 } from '../../layout/rafs-v6.js';
import type { FindExtent } from '../extent.js';

/**
 * A bootstrap ends with its chunk table, which those of old builders do not have. In a disk image
 * zeros follow, up to where the first blob is mapped.
 */
export const extentOfV6: FindExtent = function* (head, fileSize) {
  const { chunkTableOffset, chunkTableSize } = ExtendedSuperBlock.decode(head, V6.EXTENDED_OFFSET);
  if (chunkTableOffset === 0) return undefined;
  const size = alignUp(chunkTableOffset + chunkTableSize, V6.META_ALIGN);
  const { extraDevices, blockBits } = SuperBlock.decode(head, V6.SUPER_OFFSET);
  if (size >= fileSize || extraDevices === 0) return { size, isWhole: size === fileSize };
  const { mappedBlkaddr } = DeviceSlot.decode(head, V6.DEVICE_OFFSET);
  const gap = mappedBlkaddr * 2 ** blockBits - size;
  if (gap < 0 || gap >= V6.DEVICE_ALIGN || size + gap > fileSize) return { size, isWhole: false };
  const bytes = yield { offset: size, size: gap };
  return { size, isWhole: bytes.every(byte => byte === 0) };
};
