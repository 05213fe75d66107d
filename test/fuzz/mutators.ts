/**
 * Mutators: they know where an input has fields, and which values programs get wrong. All that they
 * do follows from the numbers they are given, so an input can be made again from its seed.
 */
import type { Struct } from './fields.js';

/** Whole numbers from 0 to below `limit`. */
export type Next = (limit: number) => number;

/** A place that holds a number, or another thing of its own. */
export interface FieldAt {
  readonly at: number;
  readonly size: number;
}

const pick = <T>(items: readonly T[], next: Next): T => items[next(items.length)]!;

/** Numbers at which sizes, offsets and counts go wrong. */
const interesting = (length: number, next: Next): bigint => {
  const near = BigInt(next(5) - 2);
  switch (next(8)) {
    case 0:
      return near;
    case 1:
      return BigInt(length) + near;
    case 2:
      return (1n << BigInt(next(64))) + near;
    case 3:
      return -1n;
    case 4:
      return BigInt(4096 * next(64)) + near;
    case 5:
      return BigInt(next(256));
    default:
      return BigInt(next(0x7fffffff)) * BigInt(next(0x7fffffff));
  }
};

const writeField = (bytes: Buffer, { at, size }: FieldAt, next: Next): void => {
  if (next(3) === 0) {
    bytes[at + next(size)]! ^= 1 << next(8);
    return;
  }
  let value = BigInt.asUintN(64, interesting(bytes.length, next));
  for (let i = 0; i < size; i++, value >>= 8n) bytes[at + i] = Number(value & 0xffn);
};

/** Changes a few places of a copy: fields, if there are any, and bytes anywhere. */
export const mutate = (seed: Buffer, fields: readonly FieldAt[], next: Next): Buffer => {
  let bytes: Buffer = Buffer.from(seed);
  for (let count = 1 + next(4); count > 0 && bytes.length > 0; count--) {
    if (fields.length > 0 && next(4) > 0) {
      const field = pick(fields, next);
      if (field.at + field.size <= bytes.length) writeField(bytes, field, next);
      continue;
    }
    bytes = reshape(bytes, next);
  }
  return bytes;
};

const reshape = (bytes: Buffer, next: Next): Buffer => {
  const at = next(bytes.length);
  const size = next(3) === 0 ? 512 * (1 + next(4)) : 1 + next(40);
  switch (next(8)) {
    case 0:
      return Buffer.from(bytes.subarray(0, at));
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at + size), bytes.subarray(at)]);
    case 3:
      bytes.fill(next(2) ? 0 : 0xff, at, Math.min(at + size, bytes.length));
      return bytes;
    case 4: {
      const from = next(bytes.length);
      bytes.copy(bytes, at, from, Math.min(from + size, bytes.length));
      return bytes;
    }
    case 5:
      bytes[at] = next(256);
      return bytes;
    default:
      bytes[at]! ^= 1 << next(8);
      return bytes;
  }
};

/** Changes text: its numbers, its words and what is between them. */
export const mutateText = (seed: Buffer, next: Next): Buffer => {
  const words = seed.toString('latin1').split(/(\b|(?=[{}[\]:,"=\\/\n]))/);
  const odd = [
    '',
    '-1',
    '0',
    '1e400',
    '9007199254740993',
    'null',
    '{}',
    '[]',
    '"',
    '\\u0000',
    '\xff',
  ];
  odd.push('constructor', '__proto__', '..', '/', '\n', 'x'.repeat(5000), '[['.repeat(2000));
  for (let count = 1 + next(4); count > 0; count--) {
    const at = next(words.length);
    if (next(3) === 0) words[at] = pick(words, next);
    else if (next(2) === 0) words[at] = pick(odd, next);
    else words.splice(at, next(4));
    if (words.length === 0) words.push('');
  }
  return Buffer.from(words.join(''), 'latin1');
};

/** The fields of a record that lies at `at`. */
export const fieldsOf = (record: Struct, at = 0): FieldAt[] => {
  const starts = [...Object.values(record.offsets), record.size].sort((a, b) => a - b);
  return starts.slice(0, -1).map((start, i) => ({ at: at + start, size: starts[i + 1]! - start }));
};
