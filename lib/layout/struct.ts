/**
 * Declarative codec for fixed-size records. Integers are little-endian unless the field says
 * otherwise.
 *
 * A record is declared once, as the list of its fields in their order on disk, for both reader and
 * writer. Integers are read and written nowhere else.
 */
import { RafsError, corrupt } from '../errors.js';
import {
  checkSize,
  decoderOf,
  encoderOf,
  type Field,
  joined,
  joinedSigned,
  unfit,
  type Decode,
  type Encode,
  type PlacedField,
} from './struct-code.js';

/** A field that holds no value of its own: padding, or a constant. */
export interface Silent extends Field<undefined> {
  readonly isSilent: true;
}

export const u8: Field<number> = {
  size: 1,
  form: { kind: 'integer', size: 1 },
  read: (buf, at) => buf.readUInt8(at),
  write(buf, at, value) {
    if ((value & 0xff) !== value) throw unfit(value, 8);
    buf.writeUInt8(value, at);
  },
};
export const u16: Field<number> = {
  size: 2,
  form: { kind: 'integer', size: 2 },
  read: (buf, at) => buf.readUInt16LE(at),
  write(buf, at, value) {
    if ((value & 0xffff) !== value) throw unfit(value, 16);
    buf.writeUInt16LE(value, at);
  },
};
export const u32: Field<number> = {
  size: 4,
  form: { kind: 'integer', size: 4 },
  read: (buf, at) => buf.readUInt32LE(at),
  write(buf, at, value) {
    if (value >>> 0 !== value) throw unfit(value, 32);
    buf.writeUInt32LE(value, at);
  },
};

/** 64 bits as a number; refuses what a number cannot hold exactly. */
export const u64: Field<number> = {
  size: 8,
  form: { kind: 'integer', size: 8 },
  read: (buf, at) => joined(buf.readUInt32LE(at), buf.readUInt32LE(at + 4)),
  write(buf, at, value) {
    if (!(value >= 0 && Number.isSafeInteger(value))) throw unfit(value, 53);
    buf.writeUInt32LE(value >>> 0, at);
    buf.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
  },
};

/** 64 bits in two's complement as a number; refuses what a number cannot hold exactly. */
export const i64: Field<number> = {
  size: 8,
  form: { kind: 'integer', size: 8, signed: true },
  read: (buf, at) => joinedSigned(buf.readUInt32LE(at), buf.readUInt32LE(at + 4)),
  write(buf, at, value) {
    if (!Number.isSafeInteger(value)) throw unfit(value, 53);
    buf.writeUInt32LE(value >>> 0, at);
    buf.writeInt32LE(Math.floor(value / 2 ** 32), at + 4);
  },
};

/** Big-endian, as in network protocols. */
export const u16be: Field<number> = {
  size: 2,
  form: { kind: 'integer', size: 2, bigEndian: true },
  read: (buf, at) => buf.readUInt16BE(at),
  write(buf, at, value) {
    if ((value & 0xffff) !== value) throw unfit(value, 16);
    buf.writeUInt16BE(value, at);
  },
};
export const u32be: Field<number> = {
  size: 4,
  form: { kind: 'integer', size: 4, bigEndian: true },
  read: (buf, at) => buf.readUInt32BE(at),
  write(buf, at, value) {
    if (value >>> 0 !== value) throw unfit(value, 32);
    buf.writeUInt32BE(value, at);
  },
};
export const u64be: Field<number> = {
  size: 8,
  form: { kind: 'integer', size: 8, bigEndian: true },
  read: (buf, at) => joined(buf.readUInt32BE(at + 4), buf.readUInt32BE(at)),
  write(buf, at, value) {
    if (!(value >= 0 && Number.isSafeInteger(value))) throw unfit(value, 53);
    buf.writeUInt32BE(Math.floor(value / 2 ** 32), at);
    buf.writeUInt32BE(value >>> 0, at + 4);
  },
};

/** Raw bytes of a fixed length; the value read is a copy. */
export const bytes = (size: number): Field<Buffer> => ({
  size,
  form: { kind: 'bytes', size },
  read: (buf, at) => Buffer.from(buf.subarray(at, at + size)),
  write(buf, at, value) {
    checkSize(value, size);
    value.copy(buf, at);
  },
});

/** Text of at most `size` bytes as a latin1 string, zero padded. */
export const text = (size: number): Field<string> => ({
  size,
  read(buf, at) {
    const field = buf.subarray(at, at + size);
    const end = field.indexOf(0);
    return field.toString('latin1', 0, end < 0 ? size : end);
  },
  write(buf, at, value) {
    if (value.length > size) {
      throw new RafsError('LIMIT', `'${value}' is longer than ${size} bytes`);
    }
    buf.fill(0, at, at + size);
    buf.write(value, at, size, 'latin1');
  },
});

/** Reserved bytes: written as zero, ignored when read. */
export const pad = (size: number): Silent => ({
  size,
  form: { kind: 'pad', size },
  isSilent: true,
  read: () => undefined,
  write: (buf, at) => void buf.fill(0, at, at + size),
});

/** A constant, such as a magic number: always written, always checked. */
export const fixed = <T>(field: Field<T>, constant: T): Silent => ({
  size: field.size,
  isSilent: true,
  read(buf, at) {
    const value = field.read(buf, at);
    if (value !== constant) throw corrupt(`expected ${hex(constant)}, got ${hex(value)}`);
    return undefined;
  },
  write: (buf, at) => field.write(buf, at, constant),
});

/** Whether a number, of up to 53 bits, has the flag. */
export const hasFlag = (flags: number, flag: number): boolean => Math.floor(flags / flag) % 2 === 1;

/** A word of named bits; refuses bits that `table` does not name. */
export const flags = (
  field: Field<number>,
  table: Readonly<Record<string, number>>,
): Field<number> => {
  const known = Object.values(table).reduce((sum, bit) => sum | BigInt(bit), 0n);
  return {
    size: field.size,
    read(buf, at) {
      const value = field.read(buf, at);
      if (BigInt(value) & ~known) throw corrupt(`unknown bits in ${hex(value)}`);
      return value;
    },
    write: (buf, at, value) => field.write(buf, at, value),
  };
};

/** A 64-bit word cut into fields of the given widths, lowest bits first. */
export const bits64 = <const W extends Readonly<Record<string, number>>>(
  widths: W,
): Field<{ [K in keyof W]: number }> => {
  const cuts: { name: string; scale: number; limit: number; unit: number; room: number }[] = [];
  let shift = 0;
  for (const [name, width] of Object.entries(widths)) {
    if (width > 53) throw new Error(`bits64: ${name} is wider than 53 bits`);
    // where it starts in its half of the word, and how much of it fits into the low half
    const [unit, room] = shift >= 32 ? [2 ** (shift - 32), 1] : [2 ** shift, 2 ** (32 - shift)];
    cuts.push({ name, scale: shift, limit: 2 ** width, unit, room });
    shift += width;
  }
  if (shift !== 64) throw new Error(`bits64: ${shift} bits`);
  return {
    size: 8,
    read(buf, at) {
      const word = buf.readBigUInt64LE(at);
      const value: Record<string, number> = {};
      for (const { name, scale, limit } of cuts) {
        value[name] = Number((word >> BigInt(scale)) & BigInt(limit - 1));
      }
      return value as { [K in keyof W]: number };
    },
    write(buf, at, value) {
      let low = 0;
      let high = 0;
      for (const { name, scale, limit, unit, room } of cuts) {
        const part = value[name]!;
        if (!(part >= 0 && part < limit && Number.isInteger(part))) {
          throw unfit(part, Math.log2(limit));
        }
        if (scale >= 32) high += part * unit;
        else {
          low += (part % room) * unit;
          high += Math.floor(part / room);
        }
      }
      buf.writeUInt32LE(low, at);
      buf.writeUInt32LE(high, at + 4);
    },
  };
};

const hex = (value: unknown): string =>
  typeof value === 'number' ? `0x${value.toString(16)}` : JSON.stringify(value);

// any: the one place where a record's fields are handled without knowing their types
type Fields = Readonly<Record<string, Field<any>>>;

/** The value of a record: its fields except padding and constants. */
export type Values<F extends Fields> = {
  -readonly [K in keyof F as F[K] extends Silent ? never : K]: F[K] extends Field<infer T>
    ? T
    : never;
};

export interface Struct<F extends Fields> {
  readonly name: string;
  readonly size: number;
  readonly offsets: Readonly<Record<keyof F, number>>;
  /** A new buffer of `size` bytes. */
  encode(value: Values<F>): Buffer;
  /** Writes `size` bytes at `at`. */
  encodeInto(buf: Buffer, at: number, value: Values<F>): void;
  /** Refuses a short buffer, wrong constants, unknown flags and numbers over 2^53 - 1. */
  decode(buf: Buffer, at?: number): Values<F>;
}

/** The value type of a declared record, such as `ValueOf<typeof Inode>`. */
export type ValueOf<S> = S extends Struct<infer F> ? Values<F> : never;

/** Declares a record. Fails when the module loads if `size` is not the sum of its fields' sizes. */
export const struct = <const F extends Fields>(
  name: string,
  size: number,
  fields: F,
): Struct<F> => {
  const offsets: Record<string, number> = {};
  const list: PlacedField[] = [];
  let sum = 0;
  for (const [key, field] of Object.entries(fields)) {
    offsets[key] = sum;
    list.push({ key, at: sum, field, isSilent: 'isSilent' in field });
    sum += field.size;
  }
  if (sum !== size) throw new Error(`${name}: fields make ${sum} bytes, not ${size}`);

  const unwritten = (error: unknown, i: number): unknown =>
    placed(error, { record: name, field: list[i]!.key });
  const unread = (error: unknown, i: number, at: number): unknown =>
    placed(error, { record: name, field: list[i]!.key, offset: at + list[i]!.at });

  // compiled when first used: a program uses few of the records that it knows
  let encode: Encode = (buf, at, value) => {
    encode = encoderOf(list, unwritten);
    encode(buf, at, value);
  };
  let decode: Decode = (buf, at) => {
    decode = decoderOf(list, unread);
    return decode(buf, at);
  };

  const encodeInto = (buf: Buffer, at: number, value: Values<F>): void => {
    if (at < 0 || at + size > buf.length) throw new RangeError(`${name} at ${at} of ${buf.length}`);
    encode(buf, at, value);
  };
  return {
    name,
    size,
    offsets: offsets as Record<keyof F, number>,
    encodeInto,
    encode(value) {
      const buf = Buffer.alloc(size);
      encodeInto(buf, 0, value);
      return buf;
    },
    decode(buf, at = 0) {
      if (!(at >= 0 && at + size <= buf.length)) {
        throw new RafsError(
          'CORRUPT',
          `expected ${size} bytes, got ${Math.max(0, buf.length - at)}`,
          {
            record: name,
            offset: at,
          },
        );
      }
      return decode(buf, at) as Values<F>; // the fields determine it
    },
  };
};

const placed = (error: unknown, at: Record<string, string | number>): unknown =>
  error instanceof RafsError
    ? new RafsError(error.code, error.message, { ...at, ...error.at })
    : error;
