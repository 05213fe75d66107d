/** Decompression of gzip sources. */
import { GzipHeader, crc32 } from '../lib/compression.js';
import { RafsError } from '../lib/errors.js';
import { Inflater } from '../lib/inflate.js';
import type { BytesPart } from '../lib/parts.js';
import { u32 } from '../lib/struct.js';
import { Stage } from './stage.js';

/** CRC-32 and size modulo 2^32 of what a member holds. */
const TRAILER_SIZE = 8;

/** Where in the source the decoder stands; `padding` are zeros after the last member. */
type Place = 'header' | 'body' | 'trailer' | 'between' | 'padding';

/**
 * Decodes gzip members, one after the other, from bytes that come in any pieces.
 *
 * Zeros may follow the last member, since tapes and tools pad with them; other bytes are CORRUPT,
 * like all that breaks the format, and the error has the offset in the compressed source.
 */
export class GzipDecoder {
  #inflater = new Inflater();
  #place: Place = 'header';
  #header = new GzipHeader(0);
  #crc = 0;
  #memberStart = 0; // where the member's content begins in the output
  #size = 0; // bytes of the source so far

  /** Makes of the next bytes what there is in them, in pieces of 1 MiB at most. */
  *push(bytes: Uint8Array): Iterable<Buffer> {
    this.#size += bytes.length;
    for (let at = 0; at < bytes.length;) {
      at += this.#inflater.feed(at === 0 ? bytes : bytes.subarray(at));
      yield* this.#decode();
    }
  }

  /** To be called after the last bytes: CORRUPT if a member is not complete. */
  end(): void {
    if (this.#place === 'between' || this.#place === 'padding') return;
    throw new RafsError('CORRUPT', `gzip: ends in the ${this.#place} of a member`, {
      offset: this.#size,
    });
  }

  /** Goes on until all input is used up. */
  *#decode(): Iterable<Buffer> {
    const inflater = this.#inflater;
    for (;;) {
      if (this.#place === 'body') {
        const stop = inflater.run();
        if (stop === 'block') continue;
        if (inflater.output.length > 0) yield this.#take();
        if (stop === 'input') return;
        if (stop === 'end') {
          inflater.skip(0);
          this.#place = 'trailer';
        }
        continue;
      }
      const unused = inflater.unused;
      if (unused.length === 0) return;
      switch (this.#place) {
        case 'header':
          inflater.skip(this.#header.push(unused));
          if (this.#header.complete) this.#beginBody();
          break;
        case 'trailer':
          if (unused.length < TRAILER_SIZE) return;
          this.#checkTrailer(unused);
          inflater.skip(TRAILER_SIZE);
          this.#place = 'between';
          break;
        case 'between':
          this.#header = new GzipHeader(inflater.inputOffset);
          this.#place = unused[0] === 0 ? 'padding' : 'header';
          break;
        case 'padding':
          this.#checkPadding(unused);
          inflater.skip(unused.length);
      }
    }
  }

  #take(): Buffer {
    this.#crc = crc32(this.#inflater.output, this.#crc);
    return this.#inflater.take();
  }

  #beginBody(): void {
    this.#inflater.begin();
    this.#memberStart = this.#inflater.outputOffset;
    this.#crc = 0;
    this.#place = 'body';
  }

  #checkTrailer(bytes: Buffer): void {
    const offset = this.#inflater.inputOffset;
    const crc = u32.read(bytes, 0);
    if (crc !== this.#crc) {
      const message = `gzip: checksum 0x${this.#crc.toString(16)}, not 0x${crc.toString(16)}`;
      throw new RafsError('CORRUPT', message, { offset });
    }
    const size = u32.read(bytes, 4);
    const made = (this.#inflater.outputOffset - this.#memberStart) % 2 ** 32;
    if (made !== size) {
      throw new RafsError('CORRUPT', `gzip: ${made} bytes, not ${size}`, { offset: offset + 4 });
    }
  }

  #checkPadding(bytes: Buffer): void {
    const at = bytes.findIndex(byte => byte !== 0);
    if (at < 0) return;
    throw new RafsError('CORRUPT', 'gzip: other bytes than zeros after the last member', {
      offset: this.#inflater.inputOffset + at,
    });
  }
}

/**
 * gunzip: the plain bytes of a gzip source.
 *
 * takes bytes, makes bytes of 1 MiB at most, with their offset in the plain stream
 * holds 1.5 MiB: input not used yet, and the window
 */
export const gunzip = (): Stage<BytesPart, BytesPart> => {
  const decoder = new GzipDecoder();
  let offset = 0;
  return new Stage('gunzip', {
    *part(part) {
      for (const bytes of decoder.push(part.bytes)) {
        yield { kind: 'bytes', offset, bytes };
        offset += bytes.length;
      }
    },
    end: () => decoder.end(),
  });
};
