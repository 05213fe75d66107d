/** Compares a record with bytes that another writer made. */
import type { Test } from 'tap';
import type { Struct } from '../../../lib/layout/struct.js';

/**
 * Decoding `hex` gives `value`, encoding `value` gives `hex`.
 *
 * @param hex the record's bytes; zeros at their end may be left out, `end` is what follows them
 */
export const goldenRecord = (
  t: Test,
  record: Struct<any>, // eslint-disable-line @typescript-eslint/no-explicit-any
  hex: string,
  value: object,
  end = '',
): void => {
  const full = hex.padEnd(2 * record.size - end.length, '0') + end;
  t.equal(full.length, 2 * record.size, `${record.name}: ${record.size} bytes`);
  t.same(record.decode(Buffer.from(full, 'hex')), value, `${record.name} read`);
  t.equal(record.encode(value as never).toString('hex'), full, `${record.name} written`);
};
