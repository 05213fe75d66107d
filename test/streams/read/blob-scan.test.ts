import fc from 'fast-check';
import t from 'tap';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import { BlobScan } from '../../../streams/read/blob-scan.js';
import { randomBytes } from '../../support/random.js';
import { failureOf } from '../../support/images/golden.js';

const BLOB = randomBytes(0x730000, 7);

/** Counts how often each byte is read, in pieces of 64 KiB. */
const counted = (counts: number[]): ReaderAt => ({
  ...readerOf(BLOB, 'blob'),
  async read(offset, size) {
    for (let at = offset; at < offset + size; at += 0x10000) {
      counts[Math.floor(at / 0x10000)] = (counts[Math.floor(at / 0x10000)] ?? 0) + 1;
    }
    return readerOf(BLOB, 'blob').read(offset, size);
  },
});

t.test('whatever is asked for, all bytes pass once and in order', async t => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(BLOB.length), fc.nat(0x280000)), { maxLength: 6 }),
      async reads => {
        const passed: Buffer[] = [];
        const scan = new BlobScan(readerOf(BLOB, 'blob'), bytes => void passed.push(bytes));
        for (const [offset, most] of reads) {
          const size = Math.min(most, BLOB.length - offset);
          const got = await scan.blocks.read(scan, offset, size);
          if (!got.equals(BLOB.subarray(offset, offset + size))) throw new Error(`${offset}`);
        }
        await scan.finish();
        await scan.close();
        if (!Buffer.concat(passed).equals(BLOB)) throw new Error('other bytes passed');
        runs += 1;
      },
    ),
    { numRuns: 40 },
  );
  t.ok(runs >= 40);
});

t.test('read in order, nothing is read twice', async t => {
  const counts: number[] = [];
  const scan = new BlobScan(counted(counts), () => undefined);
  for (let at = 0; at < BLOB.length; at += 70_000) {
    await scan.read(at, Math.min(100_000, BLOB.length - at));
  }
  await scan.finish();
  t.ok(counts.every(count => count === 1));
  t.equal(counts.length, BLOB.length / 0x10000);
});

t.test('what is not in the blob, and a source that fails', async t => {
  const scan = new BlobScan(readerOf(BLOB, 'blob'), () => undefined);
  t.match(await failureOf(scan.read(BLOB.length - 1, 2)), { code: 'CORRUPT' });
  const broken = new BlobScan(
    { ...readerOf(BLOB, 'blob'), read: () => Promise.reject(new Error('gone')) },
    () => undefined,
  );
  await t.rejects(broken.finish(), /gone/);
  await broken.close();
});
