/**
 * Compiles the declarations of records to functions. A loop over fields meets another name and
 * another function at every step, which no compiler can optimise: an inode takes six times as long
 * to write.
 *
 * Fields of a known form are inlined; the others are called. Errors are the same as from the field
 * itself, and are located by the field's index in the list.
 */
import { RafsError } from '../errors.js';

/** How a field lies on disk, for fields that are inlined here. */
export type FieldForm =
  | {
      readonly kind: 'integer';
      readonly size: 1 | 2 | 4 | 8;
      readonly bigEndian?: true;
      /** in two's complement; of 8 bytes only */
      readonly signed?: true;
    }
  | { readonly kind: 'bytes'; readonly size: number }
  | { readonly kind: 'pad'; readonly size: number };

/** A field of a record and where it lies; `isSilent` says that it holds no value of its own. */
export interface PlacedField {
  readonly key: string;
  readonly at: number;
  readonly field: Field<unknown>;
  readonly isSilent: boolean;
}

/** Adds a place to an error of the field that has this index in the list. */
type Located = (error: unknown, index: number, at: number) => unknown;

export type Encode = (buf: Buffer, at: number, value: unknown) => void;
export type Decode = (buf: Buffer, at: number) => unknown;

export const unfit = (value: number, bits: number): RafsError =>
  new RafsError('LIMIT', `${value} does not fit in ${bits} bits`);

/** 64 bits as a number; refuses what a number cannot hold exactly. */
export const joined = (low: number, high: number): number => {
  const value = high * 2 ** 32 + low;
  if (value > Number.MAX_SAFE_INTEGER) {
    throw new RafsError('CORRUPT', `${value} exceeds 2^53 - 1`);
  }
  return value;
};

/** The same in two's complement. */
export const joinedSigned = (low: number, high: number): number => {
  const value = (high | 0) * 2 ** 32 + low;
  if (!Number.isSafeInteger(value)) {
    throw new RafsError('CORRUPT', `${value} is not between -2^53 and 2^53`);
  }
  return value;
};

/** Refuses bytes whose size is not the field's. */
export const checkSize = (value: Uint8Array, size: number): void => {
  if (value.length !== size)
    throw new RafsError('LIMIT', `expected ${size} bytes, got ${value.length}`);
};

const byteAt = (offset: number): string => `buf[at + ${offset}]`;

/** Expressions for an integer's bytes, the lowest first. */
const bytesOf = (offset: number, size: number, bigEndian = false): string[] =>
  Array.from({ length: size }, (_, i) => byteAt(offset + (bigEndian ? size - 1 - i : i)));

const stores = (value: string, bytes: readonly string[]): string =>
  bytes.map((byte, i) => `${byte} = ${value}${i === 0 ? '' : ` >>> ${8 * i}`};`).join(' ');

const loads = (bytes: readonly string[]): string => {
  const sum = bytes.map((byte, i) => (i === 0 ? byte : `${byte} << ${8 * i}`)).join(' | ');
  return bytes.length === 4 ? `((${sum}) >>> 0)` : `(${sum})`;
};

/** Statements that write `v`. */
const writes = (form: FieldForm, offset: number): string => {
  const { kind, size } = form;
  switch (kind) {
    case 'integer': {
      const bytes = bytesOf(offset, size, form.bigEndian);
      if (size < 8) {
        const kept = size === 4 ? 'v >>> 0' : `(v & ${2 ** (8 * size) - 1})`;
        return `if (${kept} !== v) throw unfit(v, ${8 * size}); ${stores('v', bytes)}`;
      }
      const least = form.signed ? '' : 'v >= 0 && ';
      return `if (!(${least}Number.isSafeInteger(v))) throw unfit(v, 53);
        low = v >>> 0; high = Math.floor(v / ${2 ** 32});
        ${stores('low', bytes.slice(0, 4))} ${stores('high', bytes.slice(4))}`;
    }
    case 'bytes':
      return `checkSize(v, ${size}); buf.set(v, at + ${offset});`;
    case 'pad':
      // most pads are a few bytes, for which fill() takes longer
      if (size > 16) return `buf.fill(0, at + ${offset}, at + ${offset + size});`;
      return bytesOf(offset, size)
        .map(byte => `${byte} = 0;`)
        .join(' ');
  }
};

/** An expression that reads the field. */
const reads = (form: FieldForm, offset: number, call: string): string => {
  if (form.kind !== 'integer') return call; // it makes the copy
  const bytes = bytesOf(offset, form.size, form.bigEndian);
  if (form.size < 8) return loads(bytes);
  return `${form.signed ? 'joinedSigned' : 'joined'}(${loads(bytes.slice(0, 4))}, ${loads(bytes.slice(4))})`;
};

/** What the made functions call, by name. */
const CALLED = { unfit, joined, joinedSigned, checkSize };

/** Makes a function; `body` can use the fields as f0, f1 … */
const made = (fields: readonly PlacedField[], located: Located, body: string): unknown => {
  const names = fields.map((_, i) => `f${i}`);
  // the text is made from declarations in our own sources, never from input
  // eslint-disable-next-line @typescript-eslint/no-implied-eval, @typescript-eslint/no-unsafe-call
  return new Function(...names, ...Object.keys(CALLED), 'located', `'use strict'; ${body}`)(
    ...fields.map(({ field }) => field),
    ...Object.values(CALLED),
    located,
  );
};

/** Makes a function that writes a record; the buffer must have room for it. */
export const encoderOf = (fields: readonly PlacedField[], located: Located): Encode => {
  const lines = fields.map(({ key, at, field, isSilent }, i) => {
    const value = isSilent ? 'undefined' : `value[${JSON.stringify(key)}]`;
    if (!field.form) return `i = ${i}; f${i}.write(buf, at + ${at}, ${value});`;
    if (field.form.kind === 'pad') return writes(field.form, at);
    return `i = ${i}; v = ${value}; ${writes(field.form, at)}`;
  });
  return made(
    fields,
    located,
    `return (buf, at, value) => {
      let i = 0, v, low = 0, high = 0;
      try {
        ${lines.join('\n        ')}
      } catch (error) {
        throw located(error, i, at);
      }
    };`,
  ) as Encode; // by the text above
};

/** Makes a function that reads a record; the buffer must have all of its bytes. */
export const decoderOf = (fields: readonly PlacedField[], located: Located): Decode => {
  const lines: string[] = [];
  const values: string[] = [];
  fields.forEach(({ key, at, field, isSilent }, i) => {
    if (field.form?.kind === 'pad') return;
    const call = `f${i}.read(buf, at + ${at})`;
    const read = field.form ? reads(field.form, at, call) : call;
    lines.push(isSilent ? `i = ${i}; ${read};` : `i = ${i}; const v${i} = ${read};`);
    if (!isSilent) values.push(`${JSON.stringify(key)}: v${i}`);
  });
  return made(
    fields,
    located,
    `return (buf, at) => {
      let i = 0;
      try {
        ${lines.join('\n        ')}
        return { ${values.join(', ')} };
      } catch (error) {
        throw located(error, i, at);
      }
    };`,
  ) as Decode;
};
/** One field: its size in bytes, and how it is read and written at an offset. */

export interface Field<T> {
  readonly size: number;
  read(buf: Buffer, at: number): T;
  write(buf: Buffer, at: number, value: T): void;
  /** lets compiled records (lib/layout/struct-code.ts) do inline what the two methods above do */
  readonly form?: FieldForm;
}
