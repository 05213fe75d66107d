import { Readable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import type { ImageSource } from '../../../streams/transport/source.js';
import { sourceReader } from '../../../streams/transport/source-reader.js';
import { randomBytes } from '../../support/random.js';

const BYTES = randomBytes(9_000_000, 5);
const digest = `sha256:${'0'.repeat(64)}`;
const { signal } = new AbortController();

/** A source of one blob, the ranges that it was asked for, and how much of each is missing. */
const sourceOf = ({ missing = 0 } = {}) => {
  const asked: [offset: number, length: number][] = [];
  const open: ImageSource['open'] = async (_, { offset = 0, length = 0 } = {}) => {
    asked.push([offset, length]);
    const bytes = BYTES.subarray(offset, offset + length - missing);
    return Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]);
  };
  return { source: { name: 'test', open } as Partial<ImageSource> as ImageSource, asked };
};

t.test('any range is that of the blob', async t => {
  const { source } = sourceOf();
  const reader = sourceReader(source, { digest, size: BYTES.length }, signal);
  await fc.assert(
    fc.asyncProperty(fc.nat(BYTES.length), fc.nat(3_000_000), async (offset, most) => {
      const size = Math.min(most, BYTES.length - offset);
      const due = BYTES.subarray(offset, offset + size);
      t.ok((await reader.read(offset, size)).equals(due));
      const into = Buffer.alloc(size);
      await reader.read(offset, size, into);
      t.ok(into.equals(due));
    }),
    { numRuns: 30 },
  );
  await t.rejects(reader.read(BYTES.length, 1), { code: 'CORRUPT' });
  await reader.close();
});

t.test('what is read in order is asked for once, and ahead', async t => {
  const { source, asked } = sourceOf();
  const reader = sourceReader(source, { digest, size: BYTES.length }, signal);
  for (let at = 0; at < BYTES.length; at += 100_000) {
    await reader.read(at, Math.min(100_000, BYTES.length - at));
  }
  t.equal(asked.length, Math.ceil(BYTES.length / 0x100000));
  t.same(asked[0], [0, 0x100000]);
  t.same(asked.at(-1), [8 * 0x100000, BYTES.length - 8 * 0x100000]);
  await reader.read(5, 5);
  t.equal(asked.length, 10, 'it was long ago');
  await reader.close();
});

t.test('a source that sends too little', async t => {
  const { source } = sourceOf({ missing: 1 });
  const reader = sourceReader(source, { digest, size: BYTES.length }, signal);
  await t.rejects(reader.read(0, 10), {
    code: 'BACKEND',
    message: 'expected 1048576 bytes, got 1048575',
    at: { digest, offset: 0 },
  });
});
