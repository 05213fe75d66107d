/**
 * Records of a disk with a GUID partition table, as far as they are needed to find partitions.
 *
 * UEFI Specification 2.10, chapter 5.3.
 */
import { bytes, fixed, pad, struct, text, u32, u64 } from './struct.js';

export const SECTOR_SIZE = 512;

/** In sector 1, and again in the last one. */
export const GptHeader = struct('GptHeader', 92, {
  signature: fixed(text(8), 'EFI PART'),
  revision: u32,
  headerSize: u32,
  headerChecksum: u32, // CRC-32 of the header with zeros here
  reserved: pad(4),
  thisSector: u64,
  otherSector: u64,
  firstUsableSector: u64,
  lastUsableSector: u64,
  diskGuid: bytes(16),
  entriesSector: u64,
  entryCount: u32,
  entrySize: u32,
  entriesChecksum: u32,
});

export const GptEntry = struct('GptEntry', 128, {
  type: bytes(16), // all zeros: no partition
  guid: bytes(16),
  firstSector: u64,
  lastSector: u64, // of the partition
  attributes: bytes(8),
  name: bytes(72), // UTF-16
});

/** Type of a partition that is identified by its name alone. */
export const BASIC_DATA = 'ebd0a0a2b9e5443387c068b6b72699c7';
