/** Finds the blobs that are partitions of a disk. */
import { crc32 } from '../compress/crc32.js';
import { RafsError } from '../errors.js';
import { BASIC_DATA, GptEntry, GptHeader, SECTOR_SIZE } from '../layout/gpt.js';
import type { ValueOf } from '../layout/struct.js';

export interface Partition {
  /** the name, followed by the GUID without dashes unless this is a basic data partition */
  id: string;
  /** `id` has only the first 32 characters of a blob's id */
  shortened: boolean;
  offset: number;
  size: number;
}

/** In practice, disks have 128. */
const MOST_ENTRIES = 0x1000;
const MOST_ENTRY_SIZE = 0x1000;
/** Up to here, byte offsets are exact numbers. */
const MOST_SECTORS = 2 ** 43;

/** @param bytes sector 1 @throws CORRUPT where it is no header */
export const parseGptHeader = (bytes: Buffer): ValueOf<typeof GptHeader> => {
  const header = GptHeader.decode(bytes, 0);
  const { headerSize, entryCount, entrySize, entriesSector } = header;
  if (headerSize < GptHeader.size || headerSize > SECTOR_SIZE) {
    throw new RafsError('CORRUPT', `invalid partition table header size ${headerSize}`);
  }
  if (entriesSector > MOST_SECTORS) {
    throw new RafsError('CORRUPT', `invalid partition table sector ${entriesSector}`);
  }
  const whole = Buffer.from(bytes.subarray(0, headerSize));
  const { offset, size } = CHECKSUM;
  whole.fill(0, offset, offset + size);
  if (crc32(whole) !== header.headerChecksum) {
    throw new RafsError('CORRUPT', "the checksum of the partition table's header is wrong");
  }
  if (
    entryCount > MOST_ENTRIES ||
    entrySize < GptEntry.size ||
    entrySize > MOST_ENTRY_SIZE ||
    entrySize % GptEntry.size !== 0
  ) {
    throw new RafsError(
      'CORRUPT',
      `invalid partition table of ${entryCount} entries of ${entrySize} bytes`,
    );
  }
  return header;
};

const CHECKSUM = { offset: GptHeader.offsets.headerChecksum, size: 4 };

/** @param bytes all entries @param diskSize partitions must lie within @throws CORRUPT */
export const parsePartitions = (
  header: ValueOf<typeof GptHeader>,
  bytes: Buffer,
  diskSize: number,
): Partition[] => {
  if (crc32(bytes) !== header.entriesChecksum) {
    throw new RafsError('CORRUPT', 'the checksum of the partition table is wrong');
  }
  const found = new Map<string, Partition>();
  for (let at = 0; at < bytes.length; at += header.entrySize) {
    const entry = GptEntry.decode(bytes, at);
    if (entry.type.every(byte => byte === 0)) continue;
    const place = { partition: at / header.entrySize };
    const { firstSector, lastSector } = entry;
    const end = (lastSector + 1) * SECTOR_SIZE;
    if (firstSector > lastSector || lastSector > MOST_SECTORS || end > diskSize) {
      const sectors = `sectors ${firstSector} to ${lastSector}`;
      throw new RafsError('CORRUPT', `${sectors} exceed a disk of ${diskSize} bytes`, place);
    }
    const shortened = guidText(entry.type) === BASIC_DATA;
    const name = entry.name.toString('utf16le').replace(/\0.*$/s, '');
    const id = shortened ? name : name + guidText(entry.guid);
    if (id === '') throw new RafsError('CORRUPT', 'a partition has no name', place);
    if (found.has(id)) throw new RafsError('CORRUPT', `partition '${id}' exists twice`, place);
    const offset = firstSector * SECTOR_SIZE;
    found.set(id, { id, shortened, offset, size: end - offset });
  }
  return [...found.values()];
};

/** Hexadecimal digits; the first three fields of a GUID are little-endian. */
const guidText = (guid: Buffer): string =>
  [guid.subarray(0, 4), guid.subarray(4, 6), guid.subarray(6, 8)]
    .map(field => Buffer.from(field).reverse().toString('hex'))
    .join('') + guid.toString('hex', 8);

/** The partition that holds the blob with this id. */
export const findPartition = (
  partitions: readonly Partition[],
  id: string,
): Partition | undefined => {
  const exact = partitions.find(partition => partition.id === id);
  if (exact || id.length < SHORT) return exact;
  const short = id.slice(0, SHORT);
  return partitions.find(partition => partition.shortened && partition.id === short);
};

const SHORT = 32;
