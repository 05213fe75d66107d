/** Inflates gzip members, one after the other, in steps of any size. */
import { GzipHeader } from './gzip-header.js';
import { crc32 } from './crc32.js';
import { RafsError } from '../errors.js';
import { Inflater, WINDOW_SIZE, type Stop } from './inflate.js';
import { u32 } from '../layout/struct.js';
import type { GzipBoundary, GzipPosition } from './gzip-position.js';

/** CRC-32 and size modulo 2^32 of what a member holds. */
const TRAILER_SIZE = 8;

/**
 * Input is taken in pieces that end at multiples of this. nydus-image reads that much at a time and
 * inflates it all before it reads on, so its position at a stop depends on where a piece ends.
 */
const INPUT_PIECE = 0x10000;

/** The part of the source that comes next; `padding` is the zeros after the last member. */
type Place = 'header' | 'body' | 'trailer' | 'between' | 'padding';

export interface GzipStepsOptions {
  /** keep the last boundary and its window; false by default */
  boundaries?: boolean;
}

/**
 * Inflates a gzip source step by step, from bytes that come in pieces of any size.
 *
 * Zeros may follow the last member, because tapes and tools pad with them. Other bytes there are
 * CORRUPT, like all violations of the format; the error has the offset in the compressed source.
 *
 * Holds 1.5 MiB, and the bytes fed last until they are used up.
 */
export class GzipInflater {
  readonly #inflater = new Inflater();
  readonly #window: Buffer | undefined; // where windows are copied to, if boundaries are kept
  #place: Place = 'header';
  #header = new GzipHeader(0);
  #memberStart = 0; // where the member's content begins in the output
  #crc = 0; // of the member's content before #summed
  #summed = 0; // offset in the output

  #input: Uint8Array = NOTHING; // taken up to #inputAt
  #inputAt = 0;
  #fed = 0; // bytes of the source that the inflater was fed
  #before = 0; // the last byte before #input

  #base = 0; // offset in the output of what the inflater holds
  #given = 0; // output was given out up to here
  #position: GzipPosition = { inOffset: 0, outOffset: 0 };
  #boundary: GzipBoundary | undefined;

  constructor({ boundaries = false }: GzipStepsOptions = {}) {
    if (boundaries) this.#window = Buffer.alloc(WINDOW_SIZE);
  }

  /** Feeds the next bytes of the source; to be called when `next` has used up the last ones. */
  feed(bytes: Uint8Array): void {
    if (this.#inputAt < this.#input.length) throw new Error('there is input left');
    if (this.#input.length > 0) this.#before = this.#input.at(-1)!;
    this.#input = bytes;
    this.#inputAt = 0;
  }

  /**
   * Makes up to `most` more bytes; returns a view of them, valid until the next call, or undefined
   * if more input is needed first. There may be fewer than `most` for any reason.
   */
  next(most: number): Buffer | undefined {
    const inflater = this.#inflater;
    const target = this.#given + most;
    for (;;) {
      if (this.#place !== 'body') {
        // a new member would put its output where that of the old one still is
        if (inflater.outputOffset > this.#given) return this.#give();
        if (this.#between()) continue;
        if (this.#feedInflater()) continue;
        return undefined;
      }
      if (inflater.outputOffset === this.#given) this.#dropIfFull();
      inflater.allow(target - inflater.outputOffset);
      const stop = inflater.run();
      if (stop === 'block' || stop === 'end') this.#passBoundary(stop);
      if (inflater.outputOffset === target && this.#settled(stop)) {
        this.#position = {
          inOffset: stop === 'input' ? this.#fed : inflater.inputOffset,
          outOffset: target,
        };
        return this.#give();
      }
      if (stop === 'block' || stop === 'end') continue;
      if (stop === 'input' && this.#feedInflater()) continue;
      if (stop === 'input' && inflater.outputOffset === target) return undefined;
      return inflater.outputOffset > this.#given ? this.#give() : undefined;
    }
  }

  /**
   * Enters the next member if one has just ended: from the end of a member's last block, nobody
   * could go on inflating. False if it needs more input; all output must have been given out.
   */
  enterMember(): boolean {
    if (this.#isInBody()) return true;
    while (!this.#isInBody()) if (!this.#between() && !this.#feedInflater()) return false;
    this.#position = { inOffset: this.#inflater.inputOffset, outOffset: this.#given };
    return true;
  }

  /**
   * The position once `next` has returned the last byte that was asked for: after one symbol more
   * than was needed, if there was input for it.
   */
  get position(): GzipPosition {
    return this.#position;
  }

  /** The last boundary up to there, if boundaries are kept; its window is valid until the next. */
  get boundary(): GzipBoundary | undefined {
    return this.#boundary;
  }

  /** To be called after the last bytes: CORRUPT if a member is not complete. */
  end(): void {
    if (this.#place === 'between' || this.#place === 'padding') return;
    throw new RafsError('CORRUPT', `gzip: unexpected end in the ${this.#place} of a member`, {
      offset: this.#fed,
    });
  }

  #isInBody(): boolean {
    return this.#place === 'body';
  }

  /** Whether the inflater's position is final, so that more input would not change it. */
  #settled(stop: Stop): boolean {
    return stop !== 'input' || this.#fed % INPUT_PIECE === 0;
  }

  #give(): Buffer {
    const from = this.#given - this.#base;
    this.#given = this.#inflater.outputOffset;
    return this.#inflater.output.subarray(from, this.#given - this.#base);
  }

  /** Makes room if there is none; all output must have been given out. */
  #dropIfFull(): void {
    if (!this.#inflater.full) return;
    this.#sum();
    this.#inflater.drop();
    this.#base = this.#given;
  }

  /** Brings the checksum up to the end of the output. */
  #sum(): void {
    this.#crc = crc32(this.#inflater.output.subarray(this.#summed - this.#base), this.#crc);
    this.#summed = this.#inflater.outputOffset;
  }

  /** Gives the inflater as much of the input as it can take; false if there is none. */
  #feedInflater(): boolean {
    const left = this.#input.length - this.#inputAt;
    if (left === 0) return false;
    const most = Math.min(left, INPUT_PIECE - (this.#fed % INPUT_PIECE));
    const piece = this.#input.subarray(this.#inputAt, this.#inputAt + most);
    const count = this.#inflater.feed(piece);
    this.#inputAt += count;
    this.#fed += count;
    return true;
  }

  #passBoundary(stop: Stop): void {
    this.#keepBoundary();
    if (stop !== 'end') return;
    this.#sum();
    this.#inflater.skip(0);
    this.#place = 'trailer';
  }

  #keepBoundary(): void {
    if (!this.#window) return;
    const { inputOffset: inOffset, outputOffset: outOffset, unusedBits: bits } = this.#inflater;
    // a byte with unread bits was read just now: it is in #input, or is #before
    const at = inOffset - 1 - (this.#fed - this.#inputAt);
    const byte = bits === 0 ? 0 : (this.#input[at] ?? this.#before);
    const window = this.#window.subarray(0, this.#inflater.copyWindow(this.#window));
    this.#boundary = { inOffset, outOffset, bits, byte, window };
  }

  /** Takes a step between two bodies; false if it needs more input. */
  #between(): boolean {
    const inflater = this.#inflater;
    const unused = inflater.unused;
    if (unused.length === 0) return false;
    switch (this.#place) {
      case 'header':
        inflater.skip(this.#header.push(unused));
        if (this.#header.complete) this.#beginBody();
        return true;
      case 'trailer':
        if (unused.length < TRAILER_SIZE) return false;
        this.#checkTrailer(unused);
        inflater.skip(TRAILER_SIZE);
        this.#place = 'between';
        return true;
      case 'between':
        this.#header = new GzipHeader(inflater.inputOffset);
        this.#place = unused[0] === 0 ? 'padding' : 'header';
        return true;
      default:
        this.#checkPadding(unused);
        inflater.skip(unused.length);
        return true;
    }
  }

  #beginBody(): void {
    this.#inflater.begin();
    this.#base = this.#summed = this.#memberStart = this.#inflater.outputOffset;
    this.#crc = 0;
    this.#place = 'body';
    this.#keepBoundary();
  }

  #checkTrailer(bytes: Buffer): void {
    const offset = this.#inflater.inputOffset;
    const crc = u32.read(bytes, 0);
    if (crc !== this.#crc) {
      const message = `gzip: expected checksum 0x${crc.toString(16)}, got 0x${this.#crc.toString(16)}`;
      throw new RafsError('CORRUPT', message, { offset });
    }
    const size = u32.read(bytes, 4);
    const made = (this.#inflater.outputOffset - this.#memberStart) % 2 ** 32;
    if (made !== size) {
      throw new RafsError('CORRUPT', `gzip: expected ${size} bytes, got ${made}`, {
        offset: offset + 4,
      });
    }
  }

  #checkPadding(bytes: Buffer): void {
    const at = bytes.findIndex(byte => byte !== 0);
    if (at < 0) return;
    throw new RafsError('CORRUPT', 'gzip: unexpected bytes after the last member', {
      offset: this.#inflater.inputOffset + at,
    });
  }
}

const NOTHING = Buffer.alloc(0);
