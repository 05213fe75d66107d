import t from 'tap';
import { crc32 } from '../../../lib/compress/crc32.js';
import { findPartition, parseGptHeader, parsePartitions } from '../../../lib/device/gpt.js';
import { GptEntry, SECTOR_SIZE } from '../../../lib/layout/gpt.js';
import { failure } from '../../support/images/golden.js';
import { gptDisk, gptHeader } from '../../support/images/gpt-disk.js';
import { numbers } from '../../support/random.js';

const LONG = '0123456789abcdef'.repeat(4);
const SHORT = 'fedcba9876543210'.repeat(4);

const disk = gptDisk([
  { id: LONG, bytes: Buffer.alloc(1000, 1) },
  { id: SHORT, bytes: Buffer.alloc(512, 2), shortened: true },
]);

const partitionsOf = (bytes: Buffer, size = bytes.length) => {
  const header = parseGptHeader(bytes.subarray(SECTOR_SIZE, 2 * SECTOR_SIZE));
  const { entriesSector, entryCount, entrySize } = header;
  const at = entriesSector * SECTOR_SIZE;
  return parsePartitions(header, bytes.subarray(at, at + entryCount * entrySize), size);
};

t.test('names and GUIDs are ids', async t => {
  const partitions = partitionsOf(disk);
  const start = 64 * SECTOR_SIZE;
  t.strictSame(partitions, [
    { id: LONG, shortened: false, offset: start, size: 1024 },
    { id: SHORT.slice(0, 32), shortened: true, offset: start + 1024, size: 512 },
  ]);
  t.equal(findPartition(partitions, LONG), partitions[0]);
  t.equal(findPartition(partitions, SHORT), partitions[1]);
  t.equal(findPartition(partitions, SHORT.slice(0, 32)), partitions[1]);
  t.equal(findPartition(partitions, LONG.slice(0, 32)), undefined, 'it is not the whole of it');
  t.equal(findPartition(partitions, SHORT.slice(0, 31)), undefined);
  t.equal(findPartition(partitions, 'none'), undefined);
});

t.test('headers that do not hold', async t => {
  const read = (fields: Parameters<typeof gptHeader>[0]) =>
    failure(() => parseGptHeader(Buffer.concat([gptHeader(fields), Buffer.alloc(420)])));
  t.equal(read({}), undefined);
  for (const fields of [
    { headerSize: 91 },
    { headerSize: 513 },
    { entryCount: 0x1001 },
    { entrySize: 127 },
    { entrySize: 129 },
    { entrySize: 0x1080 },
    { entriesSector: 2 ** 44 },
  ]) {
    t.match(read(fields), { code: 'CORRUPT' }, JSON.stringify(fields));
  }
  t.match(
    failure(() => parseGptHeader(Buffer.alloc(512))),
    { code: 'CORRUPT' },
  );
});

t.test('partitions that do not hold', async t => {
  t.match(
    failure(() => partitionsOf(disk, 64 * SECTOR_SIZE + 1024)),
    { code: 'CORRUPT', at: { partition: 1 }, message: /exceed a disk of 33792 bytes/ },
  );
  const twice = gptDisk([
    { id: LONG, bytes: Buffer.alloc(1) },
    { id: LONG, bytes: Buffer.alloc(1) },
  ]);
  t.match(
    failure(() => partitionsOf(twice)),
    { message: /exists twice/ },
  );
  const nameless = gptDisk([{ id: '', bytes: Buffer.alloc(1), shortened: true }]);
  t.match(
    failure(() => partitionsOf(nameless)),
    { message: /has no name/ },
  );
  const entry = Buffer.alloc(GptEntry.size, 0xff);
  const header = parseGptHeader(gptHeader({ entryCount: 1, entriesChecksum: crc32(entry) }));
  t.match(
    failure(() => parsePartitions(header, entry, 1e9)),
    { code: 'CORRUPT' },
  );
});

t.test('every altered bit of a table is noticed', async t => {
  const next = numbers(3);
  for (let i = 0; i < 200; i++) {
    const copy = Buffer.from(disk);
    const at = i % 2 === 0 ? SECTOR_SIZE + next(92) : 2 * SECTOR_SIZE + next(2 * GptEntry.size);
    copy[at]! ^= 1 << next(8);
    t.match(
      failure(() => partitionsOf(copy)),
      { code: /CORRUPT|UNSUPPORTED/ },
      `at ${at}`,
    );
  }
});
