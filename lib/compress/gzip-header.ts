/** What a source is compressed with, and the headers of gzip members (RFC 1952). */
import { createRequire } from 'node:module';
import zlib from 'node:zlib';
import { RafsError } from '../errors.js';

const require = createRequire(import.meta.url);

export type Compression = 'none' | 'gzip' | 'zstd';

/** How many bytes `sniff` looks at. */
export const SNIFFED_SIZE = 4;

/** Decides by the first SNIFFED_SIZE bytes of a source, or fewer if it has no more. */
export const sniff = (head: Buffer): Compression => {
  if (head.length >= 3 && head[0] === 0x1f && head[1] === 0x8b && head[2] === DEFLATE) {
    return 'gzip';
  }
  if (head.length < 4) return 'none';
  const [a, b, c, d] = head;
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return 'zstd';
  // a skippable frame, 0x184d2a50 to 0x184d2a5f: seekable and signed streams begin with one
  if ((a! & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return 'zstd';
  return 'none';
};

type Crc32 = (bytes: Uint8Array, before?: number) => number;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 in plain JavaScript, for where neither Node nor a native package has it. */
export const crc32Plain: Crc32 = (bytes, before = 0) => {
  let c = ~before;
  for (let i = 0; i < bytes.length; i++) c = CRC_TABLE[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
};

/** CRC-32 as in gzip, continued from the CRC `before`; of "123456789" it is 0xcbf43926. */
export const crc32: Crc32 = (() => {
  try {
    const made = (require('@node-rs/crc32') as typeof import('@node-rs/crc32')).crc32;
    return (bytes: Uint8Array, before = 0) => made(bytes, before);
  } catch {
    // node:zlib has it since 20.15 and 22.2, but its types do not say so; it is slower
    return (zlib as { crc32?: Crc32 }).crc32 ?? crc32Plain;
  }
})();

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
      throw this.#corrupt(`gzip header: 0x${byte.toString(16)}, not 0x${MAGIC[at]!.toString(16)}`);
    }
    if (at === 2 && byte !== DEFLATE) throw this.#corrupt(`gzip header: method ${byte}, not 8`);
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
        `gzip header: checksum 0x${this.#wantedCrc.toString(16)}, not 0x${(this.#crc & 0xffff).toString(16)}`,
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
