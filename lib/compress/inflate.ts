/**
 * Inflates raw deflate streams piece by piece, and knows at every stop at which bit it stands.
 *
 * The work is done by assembly/inflate.ts, in 1.5 MiB of memory whatever the stream.
 */
import { copyOf } from '../memory/allocate.js';
import { RafsError } from '../errors.js';
import { instantiate } from './wasm.js';

interface Core {
  inputAt(): number;
  inputSize(): number;
  outputSize(): number;
  begin(windowSize: number): void;
  prime(count: bigint, value: bigint): void;
  returnBytes(): number;
  setInput(start: number, end: number): void;
  dropBits(): void;
  unusedBits(): number;
  outputEnd(): number;
  windowSize(): number;
  allow(count: number): void;
  slide(): void;
  run(): number;
}

const STOPS = ['input', 'output', 'block', 'end'] as const;

/**
 * Why inflating stopped.
 *
 * - `input`: all input is used up and the stream goes on
 * - `output`: there is as much output as was allowed, or as there is room for
 * - `block`: a deflate block ended
 * - `end`: the last block of the stream ended; from the next whole byte on, the caller takes over
 */
export type Stop = (typeof STOPS)[number];

/** In the order of the core's numbers for them, from -1 down. */
const FAULTS = [
  'invalid block type',
  'stored block with lengths that do not agree',
  'too many length or distance symbols',
  'invalid set of code length codes',
  'repeat of a code length that is not there',
  'no code for the end of block',
  'invalid set of literal and length codes',
  'invalid set of distance codes',
  'invalid literal or length code',
  'invalid distance code',
  'distance reaches back beyond the start',
] as const;

/** A place where inflating can start: a bit of the input, and the output before it. */
export interface InflateStart {
  /** up to 32 KiB of output that come before; none by default */
  window?: Uint8Array;
  /** how many bits of `byte`, from its top, are still to be read: 0 to 7; 0 by default */
  bits?: number;
  /** the byte before the input, if `bits` is not 0 */
  byte?: number;
}

export const WINDOW_SIZE = 0x8000;
/** More than there is room for. */
const MOST_AT_ONCE = 0x1000000;

export class Inflater {
  #core = instantiate<Core>('inflate');
  #memory = Buffer.from(this.#core.memory.buffer);
  #inputAt = this.#core.inputAt();
  #inputRoom = this.#core.inputSize();
  #inputEnd = this.#inputAt;
  #outputFull: number;
  #taken: number; // output up to here was given out
  #fed = 0; // bytes of input so far
  #made = 0; // bytes of output that were given out
  #limit = Infinity; // of the output's offset

  /** Ready to begin with the first byte fed. */
  constructor(start?: InflateStart) {
    this.#core.begin(0);
    this.#taken = this.#core.outputEnd();
    this.#outputFull = this.#taken + this.#core.outputSize();
    this.begin(start);
  }

  /**
   * Starts a stream at the next byte of input or, in the middle of a stream, `bits` bits before it.
   * Output that was not taken is lost; the offsets of input and output go on.
   */
  begin({ window = EMPTY, bits = 0, byte = 0 }: InflateStart = {}): void {
    const last = window.subarray(Math.max(0, window.length - WINDOW_SIZE));
    this.#made = this.outputOffset;
    this.#core.begin(last.length);
    this.#taken = this.#core.outputEnd();
    this.#memory.set(last, this.#taken - last.length);
    this.#core.prime(BigInt(bits), BigInt(byte >> (8 - bits)));
  }

  /** Copies in as much of `bytes` as there is room for, 256 KiB at most; returns how much. */
  feed(bytes: Uint8Array): number {
    const unused = this.#core.returnBytes();
    this.#memory.copyWithin(this.#inputAt, unused, this.#inputEnd);
    const end = this.#inputAt + this.#inputEnd - unused;
    const count = Math.min(bytes.length, this.#inputAt + this.#inputRoom - end);
    this.#memory.set(count < bytes.length ? bytes.subarray(0, count) : bytes, end);
    this.#inputEnd = end + count;
    this.#core.setInput(this.#inputAt, this.#inputEnd);
    this.#fed += count;
    return count;
  }

  /** A view of the unused input, from the first whole byte; valid until `feed`. */
  get unused(): Buffer {
    return this.#memory.subarray(this.#core.returnBytes(), this.#inputEnd);
  }

  /** Skips `count` bytes of input that are not deflate, and the rest of a byte before them. */
  skip(count: number): void {
    this.#core.dropBits();
    const unused = this.#core.returnBytes();
    if (count > this.#inputEnd - unused) throw new RangeError(`${count} bytes are not there`);
    this.#core.setInput(unused + count, this.#inputEnd);
  }

  /** Bytes of input used so far; a byte with bits that are still to be read counts as used. */
  get inputOffset(): number {
    return this.#fed - (this.#inputEnd - this.#core.returnBytes());
  }

  /** How many bits of the last byte used, from its top, are still to be read: 0 to 7. */
  get unusedBits(): number {
    return this.#core.unusedBits();
  }

  /** Bytes of output so far. */
  get outputOffset(): number {
    return this.#made + this.#core.outputEnd() - this.#taken;
  }

  /** A copy of the last 32 KiB of output; less if the stream has not made as much. */
  window(): Buffer {
    return Buffer.from(this.#window);
  }

  /** Copies the same into `to`, which must have room for 32 KiB; returns how much it is. */
  copyWindow(to: Buffer): number {
    return this.#window.copy(to);
  }

  get #window(): Buffer {
    const end = this.#core.outputEnd();
    return this.#memory.subarray(end - this.#core.windowSize(), end);
  }

  /** Lets `run` make at most `count` more bytes before it stops; unlimited unless called. */
  allow(count: number): void {
    this.#limit = this.outputOffset + count;
  }

  /**
   * Inflates until there is a reason to stop; CORRUPT, with the offset in the input, if the stream
   * is invalid: the inflater is then unusable until `begin`.
   *
   * At a stop for `output`, one more symbol has been read if there was input for it, as in zlib;
   * `inputOffset` is after that symbol. Output must be taken before it can go on.
   */
  run(): Stop {
    if (this.#taken === this.#outputFull) {
      this.#core.slide();
      this.#taken = this.#core.outputEnd();
    }
    this.#core.allow(Math.min(this.#limit - this.outputOffset, MOST_AT_ONCE));
    const status = this.#core.run();
    const stop = STOPS[status];
    if (stop) return stop;
    throw new RafsError('CORRUPT', `deflate: ${FAULTS[-1 - status] ?? status}`, {
      offset: this.inputOffset,
    });
  }

  /** A view of the output that was not taken; valid until it is taken. */
  get output(): Buffer {
    return this.#memory.subarray(this.#taken, this.#core.outputEnd());
  }

  /** Takes the output: a copy, which belongs to the caller. */
  take(): Buffer {
    const copy = copyOf(this.output);
    this.drop();
    return copy;
  }

  /** Whether there is no room for more output before it is taken or dropped. */
  get full(): boolean {
    return this.#core.outputEnd() === this.#outputFull;
  }

  /** Discards the output that was not taken. */
  drop(): void {
    const size = this.#core.outputEnd() - this.#taken;
    this.#made += size;
    this.#taken += size;
  }
}

const EMPTY = new Uint8Array(0);
