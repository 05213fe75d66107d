/** What a source is compressed with, and the headers of gzip members (RFC 1952). */
import { RafsError } from '../errors.js';
import { crc32 } from './crc32.js';

const MAGIC = [0x1f, 0x8b] as const;
const DEFLATE = 8;
/** Magic, method, flags, time, extra flags, system. */
const FIXED_SIZE = 10;

const Flag = { HEADER_CRC: 0x2, EXTRA: 0x4, NAME: 0x8, COMMENT: 0x10, RESERVED: 0xe0 } as const;

const STEPS = ['fixed', 'extraSize', 'extra', 'name', 'comment', 'crc', 'done'] as const;
type Step = (typeof STEPS)[number];

/**
 * Reads the header of one gzip member from bytes that come in pieces of any size, and holds none.
 */
export class GzipHeader {
  #start: number;
  #size = 0; // bytes read so far
  #flags = 0;
  #crc = 0;
  #step: Step = 'fixed';
  #stepSize = 0; // bytes of this step read so far
  #extraSize = 0;
  #wantedCrc = 0;

  /** @param start offset of the header in its source, for errors */
  constructor(start: number) {
    this.#start = start;
  }

  get complete(): boolean {
    return this.#step === 'done';
  }

  /**
   * Reads the next bytes; returns how many belong to the header. `complete` says if it has ended.
   * CORRUPT for a wrong magic, method or checksum, and for reserved flags.
   */
  push(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#step !== 'done') {
      const step = this.#step;
      const count = this.#read(step, bytes, at);
      if (step !== 'crc' && this.#flags & Flag.HEADER_CRC) {
        this.#crc = crc32(bytes.subarray(at, at + count), this.#crc);
      }
      at += count;
      this.#size += count;
      this.#stepSize += count;
      this.#finish(step, bytes[at - 1]!);
    }
    return at;
  }

  /** Reads what it can of `step` from `at` on; returns the number of bytes. */
  #read(step: Step, bytes: Uint8Array, at: number): number {
    const byte = bytes[at]!;
    switch (step) {
      case 'fixed':
        this.#readFixed(byte);
        return 1;
      case 'extraSize':
        this.#extraSize |= byte << (8 * this.#stepSize);
        return 1;
      case 'crc':
        this.#wantedCrc |= byte << (8 * this.#stepSize);
        return 1;
      case 'extra':
        return Math.min(this.#extraSize - this.#stepSize, bytes.length - at);
      default: {
        const end = bytes.indexOf(0, at);
        return (end < 0 ? bytes.length : end + 1) - at;
      }
    }
  }

  #readFixed(byte: number): void {
    const at = this.#size;
    if (at < 2 && byte !== MAGIC[at]) {
      throw this.#corrupt(
        `gzip header: expected 0x${MAGIC[at]!.toString(16)}, got 0x${byte.toString(16)}`,
      );
    }
    if (at === 2 && byte !== DEFLATE)
      throw this.#corrupt(`gzip header: expected method 8, got ${byte}`);
    if (at === 3) {
      if (byte & Flag.RESERVED) {
        throw this.#corrupt(`gzip header: reserved flags in 0x${byte.toString(16)}`);
      }
      this.#flags = byte;
      // the checksum, if there is one, also covers the constant bytes before the flags
      this.#crc = crc32(Uint8Array.of(...MAGIC, DEFLATE));
    }
  }

  /** Goes to the next step if `step` is over; `byte` is the last one read. */
  #finish(step: Step, byte: number): void {
    if (!this.#isOver(step, byte)) return;
    if (step === 'crc' && this.#wantedCrc !== (this.#crc & 0xffff)) {
      throw this.#corrupt(
        `gzip header: expected checksum 0x${(this.#crc & 0xffff).toString(16)}, got 0x${this.#wantedCrc.toString(16)}`,
      );
    }
    let next = STEPS.indexOf(step);
    do next++;
    while (!this.#has(STEPS[next]!));
    this.#step = STEPS[next]!;
    this.#stepSize = 0;
  }

  #isOver(step: Step, byte: number): boolean {
    switch (step) {
      case 'fixed':
        return this.#stepSize === FIXED_SIZE;
      case 'extraSize':
      case 'crc':
        return this.#stepSize === 2;
      case 'extra':
        return this.#stepSize === this.#extraSize;
      default:
        return byte === 0;
    }
  }

  #has(step: Step): boolean {
    switch (step) {
      case 'extraSize':
        return (this.#flags & Flag.EXTRA) !== 0;
      case 'extra':
        return this.#extraSize > 0;
      case 'name':
        return (this.#flags & Flag.NAME) !== 0;
      case 'comment':
        return (this.#flags & Flag.COMMENT) !== 0;
      case 'crc':
        return (this.#flags & Flag.HEADER_CRC) !== 0;
      default:
        return true;
    }
  }

  #corrupt(message: string): RafsError {
    return new RafsError('CORRUPT', message, { offset: this.#start + this.#size });
  }
}
