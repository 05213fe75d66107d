/** The records of a v6 bootstrap that stand first in their places, for people to look at. */
import { ChunkRecord } from '../../layout/rafs.js';
import { BlobEntry, DeviceSlot, ExtendedSuperBlock, SuperBlock, V6 } from '../../layout/rafs-v6.js';
import type { Bootstrap } from '../bootstrap.js';
import type { RecordPlace } from '../record-place.js';

export const recordsV6 = ({ tables, blobs }: Bootstrap): RecordPlace[] => {
  const places: RecordPlace[] = [
    { layout: SuperBlock, offset: V6.SUPER_OFFSET },
    { layout: ExtendedSuperBlock, offset: V6.EXTENDED_OFFSET },
  ];
  if (blobs.length > 0) {
    places.push({ layout: DeviceSlot, offset: V6.DEVICE_OFFSET });
    places.push({ layout: BlobEntry, offset: tables.blob.offset });
  }
  if (tables.chunk.size > 0) places.push({ layout: ChunkRecord, offset: tables.chunk.offset });
  return places;
};
