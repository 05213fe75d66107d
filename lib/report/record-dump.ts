/** Records of a bootstrap, field by field with their bytes. */
import { corrupt } from '../errors.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import type { RecordPlace } from '../bootstrap/record-place.js';
import { VERSIONS } from '../bootstrap/versions.js';
import type { RecordDump } from './report.js';

/** Longer fields are cut, in bytes. */
const SHOWN_BYTES = 32;

/** The superblocks, and the first record of each table. */
export const dumpRecords = (bootstrap: Bootstrap, image: Buffer): RecordDump[] =>
  VERSIONS[bootstrap.version].records(bootstrap, image).map(place => dumpRecord(place, image));

const dumpRecord = ({ layout, offset }: RecordPlace, image: Buffer): RecordDump => {
  if (offset + layout.size > image.length) {
    throw corrupt('a record extends past the end of the image', { offset });
  }
  const values = new Map<string, unknown>(Object.entries(layout.decode(image, offset)));
  const starts = Object.entries(layout.offsets);
  const fields = starts.map(([name, start], i) => {
    const end = starts[i + 1]?.[1] ?? layout.size;
    const bytes = image.subarray(offset + start, offset + end);
    const cut = bytes.length > SHOWN_BYTES ? ' …' : '';
    const hex = bytes.toString('hex', 0, SHOWN_BYTES).replace(/..(?=.)/g, '$& ');
    return { name, offset: offset + start, bytes: hex + cut, value: textOf(values.get(name)) };
  });
  return { record: layout.name, offset, fields };
};

/** The value of a field; '' if its bytes say it all. */
const textOf = (value: unknown): string => {
  if (typeof value === 'number') {
    return value < 10 ? `${value}` : `${value} (0x${value.toString(16)})`;
  }
  if (typeof value === 'string') return value;
  if (Buffer.isBuffer(value) || value === undefined) return '';
  return JSON.stringify(value);
};
