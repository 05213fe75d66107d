/**
 * The chunks that an image uses, blob by blob, in the order in which the blobs store them: that of
 * their indexes. Holds eight bytes for each record of a chunk.
 */
import { corrupt } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';
import { Column } from '../memory/columns.js';
import type { StoredChunk } from '../model/stored.js';
import type { Bootstrap } from './bootstrap.js';
import { verifyChunk } from './verify.js';

/** Records are aligned to this, and lie below 2^31, so that one fits in 28 bits. */
const RECORD_ALIGN = 8;
const RECORDS = 2 ** 28;
const MAX_INDEX = 0xffffff;

/** What all records of a chunk must agree on. */
const FACTS = [
  'uncompressedSize',
  'compressedSize',
  'uncompressedOffset',
  'compressedOffset',
  'compressed',
  'encrypted',
  'crc32',
] as const;

export class ChunkUses {
  readonly #bootstrap: Bootstrap;
  /** by blob index: the index of each chunk, and where its record lies */
  readonly #keys: Column<Float64Array>[];

  constructor(bootstrap: Bootstrap) {
    this.#bootstrap = bootstrap;
    this.#keys = bootstrap.blobs.map(() => new Column(Float64Array));
    if (bootstrap.tarfs) return; // its only record stands for all chunks
    // a table has each chunk once, also those that no file uses
    for (const chunk of bootstrap.chunkRecords?.() ?? []) this.#add(chunk);
  }

  /** Adds a chunk of a file. Needed only where the image has no table of them. */
  add(chunk: StoredChunk): void {
    if (!this.#bootstrap.chunkRecords) this.#add(chunk);
  }

  /**
   * The chunks of a blob, each once, ascending by index; file offsets are those of any use.
   * CORRUPT if two records of a chunk differ, or if one cannot be in its blob.
   */
  *ofBlob(blobIndex: number): Iterable<StoredChunk> {
    const keys = this.#keys[blobIndex]!;
    const { id, features, uncounted } = this.#bootstrap.blobs[blobIndex]!;
    // the indexes of a dictionary, and of images of old builders, are not those of chunks in a blob
    const isLoose = uncounted || (features & BlobFeature.IS_CHUNKDICT_GENERATED) !== 0;
    let last: StoredChunk | undefined;
    for (const key of keys.data.subarray(0, keys.length).sort()) {
      const chunk = this.#bootstrap.chunkRecord((key % RECORDS) * RECORD_ALIGN);
      verifyChunk(this.#bootstrap, chunk);
      if (chunk.index === last?.index) {
        const other = differing(last, chunk);
        if (other === undefined) continue;
        if (!isLoose) {
          throw corrupt(`two records of the chunk differ in its ${other}`, {
            blob: id,
            chunk: chunk.index,
          });
        }
      }
      last = chunk;
      yield chunk;
    }
  }

  #add({ blobIndex, index, recordAt }: StoredChunk): void {
    if (recordAt === undefined) return; // a tar has no records of its chunks
    if (index > MAX_INDEX) throw corrupt(`invalid chunk index ${index}`, { offset: recordAt });
    this.#keys[blobIndex]!.push(index * RECORDS + recordAt / RECORD_ALIGN);
  }
}

const differing = (a: StoredChunk, b: StoredChunk): string | undefined =>
  a.digest.equals(b.digest) ? FACTS.find(fact => a[fact] !== b[fact]) : 'digest';
