/** Disks with a GUID partition table, and blobs as their partitions. */
import { crc32 } from '../../../lib/compress/crc32.js';
import { BASIC_DATA, GptEntry, GptHeader, SECTOR_SIZE } from '../../../lib/layout/gpt.js';

export interface BlobPartition {
  id: string;
  bytes: Buffer;
  /** only the first 32 characters of the id are noted down */
  shortened?: boolean;
}

const ENTRIES = 128;
const ENTRIES_SECTOR = 2;
const LINUX_DATA = '0fc63daf848347728e793d69d8477de4';

/** As it is stored: the first three fields of a GUID are little-endian. */
const guidBytes = (hex: string): Buffer => {
  const bytes = Buffer.from(hex, 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
};

/** An id of 64 characters is a name of 32, and a GUID. */
export const gptDisk = (partitions: readonly BlobPartition[]): Buffer => {
  let sector = 64;
  const table = Buffer.alloc(ENTRIES * GptEntry.size);
  const pieces: Buffer[] = [];
  for (const [i, { id, bytes, shortened = false }] of partitions.entries()) {
    const count = Math.max(1, Math.ceil(bytes.length / SECTOR_SIZE));
    const name = Buffer.alloc(72);
    name.write(id.slice(0, 32), 'utf16le');
    GptEntry.encode({
      type: guidBytes(shortened ? BASIC_DATA : LINUX_DATA),
      guid: guidBytes(shortened ? `${i}`.padStart(32, '7') : id.slice(32)),
      firstSector: sector,
      lastSector: sector + count - 1,
      attributes: Buffer.alloc(8),
      name,
    }).copy(table, i * GptEntry.size);
    pieces.push(bytes, Buffer.alloc(count * SECTOR_SIZE - bytes.length));
    sector += count;
  }
  const head = Buffer.alloc(64 * SECTOR_SIZE);
  table.copy(head, ENTRIES_SECTOR * SECTOR_SIZE);
  gptHeader({ entriesChecksum: crc32(table), otherSector: sector }).copy(head, SECTOR_SIZE);
  return Buffer.concat([head, ...pieces]);
};

/** A header with the right checksum, whatever it says. */
export const gptHeader = (fields: Partial<Parameters<typeof GptHeader.encode>[0]>): Buffer => {
  const all = {
    revision: 0x10000,
    headerSize: GptHeader.size,
    thisSector: 1,
    otherSector: 0,
    firstUsableSector: 34,
    lastUsableSector: 0,
    diskGuid: Buffer.alloc(16, 7),
    entriesSector: ENTRIES_SECTOR,
    entryCount: ENTRIES,
    entrySize: GptEntry.size,
    entriesChecksum: 0,
    ...fields,
  };
  const unsigned = GptHeader.encode({ ...all, headerChecksum: 0 });
  const headerChecksum = crc32(unsigned);
  return GptHeader.encode({ ...all, headerChecksum });
};
