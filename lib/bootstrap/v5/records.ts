/** The records of a v5 bootstrap that stand first in their places, for people to look at. */
import {
  BlobHeadV5,
  ExtendedBlobEntryV5,
  InodeV5,
  SuperBlockV5,
  V5,
} from '../../layout/rafs-v5.js';
import { u32 } from '../../layout/struct.js';
import type { Bootstrap } from '../bootstrap.js';
import type { RecordPlace } from '../record-place.js';

export const recordsV5 = ({ tables, blobs }: Bootstrap, image: Buffer): RecordPlace[] => {
  const { inodeTableOffset, extendedBlobTableOffset, extendedBlobTableEntries } =
    SuperBlockV5.decode(image);
  const places: RecordPlace[] = [{ layout: SuperBlockV5, offset: 0 }];
  if (blobs.length > 0) places.push({ layout: BlobHeadV5, offset: tables.blob.offset });
  if (extendedBlobTableEntries > 0) {
    places.push({ layout: ExtendedBlobEntryV5, offset: extendedBlobTableOffset });
  }
  const root = u32.read(image, inodeTableOffset + 4 * (V5.ROOT - 1));
  places.push({ layout: InodeV5, offset: root * V5.ALIGN });
  return places;
};
