/** Finds records of a v6 chunk table by blob and index; the table itself is sorted by digest. */
import type { BlobRecord, TableExtent } from '../../model/stored.js';
import { RafsError } from '../../errors.js';
import { ChunkRecord } from '../../layout/rafs.js';
import { u32 } from '../../layout/struct.js';

// A key holds index and record number in one double: 24 bits of the former, 29 of the latter.
const RECORDS = 2 ** 29;
const MAX_INDEX = 0xffffff;

export class ChunkIndex {
  #table: TableExtent;
  /** keys of all blobs, one blob after another, ascending within each */
  #keys: Float64Array;
  /** where the keys of each blob start; one more at the end */
  #starts: Float64Array;

  /**
   * Reads the table once; 8 bytes are held per record.
   * CORRUPT if a record names no blob, has an index over 24 bits or comes twice.
   */
  constructor(image: Buffer, table: TableExtent, blobs: readonly BlobRecord[]) {
    this.#table = table;
    const count = table.size / ChunkRecord.size;
    if (count > RECORDS)
      throw new RafsError('LIMIT', `an image with ${count} chunk records is too large`);
    const { blobIndex, index } = ChunkRecord.offsets;
    const at = (record: number, field: number): number =>
      u32.read(image, table.offset + record * ChunkRecord.size + field);

    this.#starts = new Float64Array(blobs.length + 1);
    for (let i = 0; i < count; i++) {
      const blob = at(i, blobIndex);
      if (blob >= blobs.length) {
        throw new RafsError(
          'CORRUPT',
          `chunk record ${i}: expected a blob index below ${blobs.length}, got ${blob}`,
        );
      }
      this.#starts[blob + 1]! += 1;
    }
    for (let i = 0; i < blobs.length; i++) this.#starts[i + 1]! += this.#starts[i]!;

    this.#keys = new Float64Array(count);
    const next = this.#starts.slice();
    for (let i = 0; i < count; i++) {
      const number = at(i, index);
      if (number > MAX_INDEX) {
        throw new RafsError('CORRUPT', `chunk record ${i} has invalid index ${number}`);
      }
      this.#keys[next[at(i, blobIndex)]!++] = number * RECORDS + i;
    }
    for (let i = 0; i < blobs.length; i++) {
      const keys = this.#keys.subarray(this.#starts[i], this.#starts[i + 1]).sort();
      for (let k = 1; k < keys.length; k++) {
        if (indexOf(keys[k]!) !== indexOf(keys[k - 1]!)) continue;
        throw new RafsError('CORRUPT', `chunk ${indexOf(keys[k]!)} has two records`, {
          blob: blobs[i]!.id,
        });
      }
    }
  }

  /** The offset of the record in the image. */
  find(blobIndex: number, index: number): number | undefined {
    let low = this.#starts[blobIndex]!;
    let high = this.#starts[blobIndex + 1]!;
    const key = index * RECORDS;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    const found = this.#keys[low];
    if (low >= this.#starts[blobIndex + 1]! || found === undefined) return undefined;
    if (indexOf(found) !== index) return undefined;
    return this.#table.offset + (found % RECORDS) * ChunkRecord.size;
  }
}

const indexOf = (key: number): number => Math.floor(key / RECORDS);
