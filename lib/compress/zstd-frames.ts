/**
 * Where zstd frames begin and end (RFC 8878, 3.1), for decoders that can only decode one frame.
 */
import { RafsError } from '../errors.js';
import { u32 } from '../layout/struct.js';

/** Bytes of a frame; skippable frames are left out. `last` if the frame ends with them. */
export interface FramePiece {
  bytes: Buffer;
  last: boolean;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50; // to 0x184d2a5f
const BLOCK_HEADER_SIZE = 3;
const CHECKSUM_SIZE = 4;
const DICTIONARY_ID_SIZES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_SIZES = [0, 2, 4, 8] as const;
const RLE_BLOCK = 1;

type Field = 'magic' | 'skippableSize' | 'descriptor' | 'blockHeader';
const FIELD_SIZES: Readonly<Record<Field, number>> = {
  magic: 4,
  skippableSize: 4,
  descriptor: 1,
  blockHeader: BLOCK_HEADER_SIZE,
};

/** Follows the frames in bytes that come in pieces of any size; holds 4 bytes. */
export class ZstdFrames {
  #field: Field = 'magic';
  #have = 0; // bytes of the field so far
  #bytes = Buffer.alloc(4);
  #skip = 0; // bytes before the next field
  #checksum = false;
  #ends = false; // the frame ends after the bytes to skip
  #skippable = false;
  #size = 0; // bytes of the source so far
  #frames = 0;

  /** CORRUPT, with the offset, for anything that is not a frame. */
  *push(bytes: Buffer): Iterable<FramePiece> {
    let from = 0; // first byte that was not yielded yet
    let at = 0;
    for (;;) {
      const skipped = Math.min(this.#skip, bytes.length - at);
      at += skipped;
      this.#skip -= skipped;
      if (this.#skip === 0 && this.#ends) {
        if (!this.#skippable) yield { bytes: bytes.subarray(from, at), last: true };
        from = at;
        this.#ends = false;
        this.#skippable = false;
      }
      if (at === bytes.length) break;
      const field = this.#field;
      const count = Math.min(FIELD_SIZES[field] - this.#have, bytes.length - at);
      bytes.copy(this.#bytes, this.#have, at, at + count);
      this.#have += count;
      at += count;
      if (this.#have < FIELD_SIZES[field]) break;
      this.#have = 0;
      this.#read(field, this.#size + at - FIELD_SIZES[field]);
      // a magic may have come in pieces, the first of which are gone
      if (field === 'magic') {
        from = at;
        if (!this.#skippable) yield { bytes: Buffer.from(this.#bytes), last: false };
      }
    }
    const inFrame = !this.#skippable && (this.#field !== 'magic' || this.#ends);
    if (inFrame && from < bytes.length) {
      yield { bytes: bytes.subarray(from), last: false };
    }
    this.#size += bytes.length;
  }

  /** To be called after the last bytes: CORRUPT if a frame is not complete. */
  end(): void {
    const between = this.#field === 'magic' && this.#have === 0 && this.#skip === 0;
    if (between && this.#frames > 0) return;
    throw new RafsError('CORRUPT', 'zstd: unexpected end in a frame', { offset: this.#size });
  }

  #read(field: Field, offset: number): void {
    const bytes = this.#bytes;
    switch (field) {
      case 'magic': {
        const magic = u32.read(bytes, 0);
        this.#frames++;
        this.#skippable = magic - (magic % 16) === SKIPPABLE;
        if (!this.#skippable && magic !== MAGIC) {
          throw new RafsError('CORRUPT', `zstd: invalid frame magic 0x${magic.toString(16)}`, {
            offset,
          });
        }
        this.#field = this.#skippable ? 'skippableSize' : 'descriptor';
        break;
      }
      case 'skippableSize':
        this.#skip = u32.read(bytes, 0);
        this.#endFrame();
        break;
      case 'descriptor': {
        const descriptor = bytes[0]!;
        const single = (descriptor & 0x20) !== 0; // the content size replaces the window size
        const contentSize = CONTENT_SIZE_SIZES[(descriptor >> 6) as 0 | 1 | 2 | 3]; // 2 bits
        const dictionaryId = DICTIONARY_ID_SIZES[(descriptor & 3) as 0 | 1 | 2 | 3]; // 2 bits
        this.#checksum = (descriptor & 0x4) !== 0;
        this.#skip = dictionaryId + (single ? Math.max(1, contentSize) : 1 + contentSize);
        this.#field = 'blockHeader';
        break;
      }
      case 'blockHeader': {
        const header = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16);
        this.#skip = ((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3;
        if (header & 1) {
          if (this.#checksum) this.#skip += CHECKSUM_SIZE;
          this.#endFrame();
        }
      }
    }
  }

  #endFrame(): void {
    this.#ends = true;
    this.#field = 'magic';
  }
}

/** The frames that `bytes` consist of. CORRUPT if there is anything else. */
export function* zstdFramesOf(bytes: Buffer): Iterable<Buffer> {
  const frames = new ZstdFrames();
  let pieces: Buffer[] = [];
  for (const piece of frames.push(bytes)) {
    pieces.push(piece.bytes);
    if (!piece.last) continue;
    yield Buffer.concat(pieces);
    pieces = [];
  }
  frames.end();
}
