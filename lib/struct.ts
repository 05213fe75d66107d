/**
 * Declarative codec for fixed-size records. Integers are little-endian unless their field says not.
 *
 * A record is declared once, as the list of its fields in their order on disk; reader and writer
 * use that declaration. Integers are read and written nowhere else.
 */
import { RafsError } from './errors.js';

/** One field: its size in bytes, and how it is read and written at an offset. */
export interface Field<T> {
  readonly size: number;
  read(buf: Buffer, at: number): T;
  write(buf: Buffer, at: number, value: T): void;
}

/** A field that holds no value of its own: padding, or a constant. */
type Silent = Field<undefined>;

const corrupt = (message: string) => new RafsError('CORRUPT', message);
const unfit = (value: number, bits: number) =>
  new RafsError('LIMIT', `${value} does not fit in ${bits} bits`);

// Every inode and chunk of an image goes through these three, field by field, so each has a body of
// its own that stays small enough to be inlined.

export const u8: Field<number> = {
  size: 1,
  read: (buf, at) => buf.readUInt8(at),
  write(buf, at, value) {
    if ((value & 0xff) !== value) throw unfit(value, 8);
    buf.writeUInt8(value, at);
  },
};
export const u16: Field<number> = {
  size: 2,
  read: (buf, at) => buf.readUInt16LE(at),
  write(buf, at, value) {
    if ((value & 0xffff) !== value) throw unfit(value, 16);
    buf.writeUInt16LE(value, at);
  },
};
export const u32: Field<number> = {
  size: 4,
  read: (buf, at) => buf.readUInt32LE(at),
  write(buf, at, value) {
    if (value >>> 0 !== value) throw unfit(value, 32);
    buf.writeUInt32LE(value, at);
  },
};

/** 64 bits as a number; refuses what a number cannot hold exactly. */
export const u64: Field<number> = {
  size: 8,
  read(buf, at) {
    const value = buf.readUInt32LE(at + 4) * 2 ** 32 + buf.readUInt32LE(at);
    if (value > Number.MAX_SAFE_INTEGER) throw corrupt(`${value} is over 2^53 - 1`);
    return value;
  },
  write(buf, at, value) {
    if (!(value >= 0 && Number.isSafeInteger(value))) throw unfit(value, 53);
    buf.writeUInt32LE(value >>> 0, at);
    buf.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
  },
};

/** Big-endian, as protocols have them. */
export const u16be: Field<number> = {
  size: 2,
  read: (buf, at) => buf.readUInt16BE(at),
  write(buf, at, value) {
    if ((value & 0xffff) !== value) throw unfit(value, 16);
    buf.writeUInt16BE(value, at);
  },
};
export const u32be: Field<number> = {
  size: 4,
  read: (buf, at) => buf.readUInt32BE(at),
  write(buf, at, value) {
    if (value >>> 0 !== value) throw unfit(value, 32);
    buf.writeUInt32BE(value, at);
  },
};
export const u64be: Field<number> = {
  size: 8,
  read(buf, at) {
    const value = buf.readUInt32BE(at) * 2 ** 32 + buf.readUInt32BE(at + 4);
    if (value > Number.MAX_SAFE_INTEGER) throw corrupt(`${value} is over 2^53 - 1`);
    return value;
  },
  write(buf, at, value) {
    if (!(value >= 0 && Number.isSafeInteger(value))) throw unfit(value, 53);
    buf.writeUInt32BE(Math.floor(value / 2 ** 32), at);
    buf.writeUInt32BE(value >>> 0, at + 4);
  },
};

/** Raw bytes of a fixed length; the value read is a copy. */
export const bytes = (size: number): Field<Buffer> => ({
  size,
  read: (buf, at) => Buffer.from(buf.subarray(at, at + size)),
  write(buf, at, value) {
    if (value.length !== size) throw new RafsError('LIMIT', `${value.length} bytes, not ${size}`);
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

/** Reserved bytes: written as zero, not looked at when read. */
export const pad = (size: number): Silent => ({
  size,
  read: () => undefined,
  write(buf, at) {
    // most are a few bytes, for which fill() takes longer
    for (let i = at; i < at + size; i++) buf[i] = 0;
  },
});

/** A constant, such as a magic number: always written, always checked. */
export const fixed = <T>(field: Field<T>, constant: T): Silent => ({
  size: field.size,
  read(buf, at) {
    const value = field.read(buf, at);
    if (value !== constant) throw corrupt(`is ${hex(value)}, not ${hex(constant)}`);
    return undefined;
  },
  write: (buf, at) => field.write(buf, at, constant),
});

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
  const cuts: { name: string; scale: number; limit: number }[] = [];
  let shift = 0;
  for (const [name, width] of Object.entries(widths)) {
    if (width > 53) throw new Error(`bits64: ${name} is wider than 53 bits`);
    cuts.push({ name, scale: shift, limit: 2 ** width });
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
      for (const { name, scale, limit } of cuts) {
        const part = value[name]!;
        if (!(part >= 0 && part < limit && Number.isInteger(part))) {
          throw unfit(part, Math.log2(limit));
        }
        if (scale >= 32) high += part * 2 ** (scale - 32);
        else {
          const room = 2 ** (32 - scale);
          low += (part % room) * 2 ** scale;
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

/** The value of a record: its fields but for padding and constants. */
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

/** The value type of a declared record: `Record<typeof Inode>`. */
export type ValueOf<S> = S extends Struct<infer F> ? Values<F> : never;

/** Declares a record. A `size` that is not the sum of its fields' fails when the module loads. */
export const struct = <const F extends Fields>(
  name: string,
  size: number,
  fields: F,
): Struct<F> => {
  const offsets: Record<string, number> = {};
  const list: { key: string; at: number; field: Field<unknown>; silent: boolean }[] = [];
  let sum = 0;
  for (const [key, field] of Object.entries(fields)) {
    offsets[key] = sum;
    list.push({ key, at: sum, field, silent: false });
    sum += field.size;
  }
  if (sum !== size) throw new Error(`${name}: fields make ${sum} bytes, not ${size}`);

  const encodeInto = (buf: Buffer, at: number, value: Values<F>): void => {
    if (at < 0 || at + size > buf.length) throw new RangeError(`${name} at ${at} of ${buf.length}`);
    let field = '';
    try {
      for (const f of list) {
        field = f.key;
        f.field.write(buf, at + f.at, (value as Record<string, unknown>)[field]);
      }
    } catch (error) {
      throw placed(error, { record: name, field });
    }
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
        throw new RafsError('CORRUPT', `needs ${size} bytes, got ${Math.max(0, buf.length - at)}`, {
          record: name,
          offset: at,
        });
      }
      const value: Record<string, unknown> = {};
      for (const f of list) {
        try {
          const read = f.field.read(buf, at + f.at);
          if (read !== undefined) value[f.key] = read;
        } catch (error) {
          throw placed(error, { record: name, field: f.key, offset: at + f.at });
        }
      }
      return value as Values<F>;
    },
  };
};

const placed = (error: unknown, at: Record<string, string | number>): unknown =>
  error instanceof RafsError
    ? new RafsError(error.code, error.message, { ...at, ...error.at })
    : error;
