import t from 'tap';
import { BlobBlocks } from '../../../streams/read/blob-blocks.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import { failureOf } from '../../support/images/golden.js';
import { randomBytes } from '../../support/random.js';

const BLOCK_SIZE = 0x20000;

/** A blob in memory that counts how often it is read. */
const counted = (bytes: Buffer, more: Partial<ReaderAt> = {}) => {
  const source = {
    ...readerOf(bytes, 'counted'),
    reads: 0,
    async read(offset: number, size: number) {
      source.reads++;
      return Buffer.from(bytes.subarray(offset, offset + size));
    },
    ...more,
  };
  return source;
};

t.test('blobs that are read front to back, in turns, take few reads', async t => {
  const content = randomBytes(3_000_000, 5);
  const blocks = new BlobBlocks();
  const sources = [counted(content), counted(content)];
  let at = 0;
  for (let size = 1; at + size < content.length; size = (size * 7) % 5003) {
    for (const source of sources) {
      const bytes = await blocks.read(source, at, size);
      if (!bytes.equals(content.subarray(at, at + size))) t.fail(`${size} bytes at ${at}`);
    }
    at += size;
  }
  t.ok(at > 2_900_000);
  for (const { reads } of sources) t.ok(reads < 6, `${reads} reads`);
});

t.test('small pieces in any order within a few blocks take a read for each block', async t => {
  const content = randomBytes(10 * BLOCK_SIZE, 6);
  const source = counted(content);
  const blocks = new BlobBlocks();
  for (let i = 0; i < 5000; i++) {
    const at = (i * 7_654_321) % (content.length - 700);
    const bytes = await blocks.read(source, at, 700);
    if (!bytes.equals(content.subarray(at, at + 700))) t.fail(`700 bytes at ${at}`);
  }
  t.ok(source.reads <= 10, `${source.reads} reads`);
});

t.test('what is held comes without a promise, also out of two blocks', async t => {
  const content = randomBytes(3 * BLOCK_SIZE, 7);
  const source = counted(content);
  const blocks = new BlobBlocks();
  const across = BLOCK_SIZE - 10;
  const first = blocks.read(source, across, 20);
  t.ok(first instanceof Promise);
  t.ok((await first).equals(content.subarray(across, across + 20)));
  const { reads } = source;
  for (const at of [0, across, across + 5, 2 * BLOCK_SIZE - 20]) {
    const bytes = blocks.read(source, at, 20);
    t.notOk(bytes instanceof Promise, `at ${at}`);
    t.ok((await bytes).equals(content.subarray(at, at + 20)));
  }
  t.equal(source.reads, reads);
});

t.test('memory is bounded: what was not read for long is read again', async t => {
  const content = randomBytes(50 * BLOCK_SIZE, 8);
  const source = counted(content);
  const blocks = new BlobBlocks();
  for (let i = 0; i < 50; i++) await blocks.read(source, i * BLOCK_SIZE, 1);
  t.ok(blocks.read(source, 0, 1) instanceof Promise);
  t.notOk(blocks.read(source, 49 * BLOCK_SIZE, 1) instanceof Promise);
});

t.test('large pieces, and storages that read ahead themselves, are asked directly', async t => {
  const content = randomBytes(4 * BLOCK_SIZE, 9);
  const blocks = new BlobBlocks();
  const source = counted(content);
  t.equal((await blocks.read(source, 1, BLOCK_SIZE)).length, BLOCK_SIZE);
  t.equal((await blocks.read(source, 1, BLOCK_SIZE)).length, BLOCK_SIZE);
  t.equal(source.reads, 2);
  const storage = counted(content, { readsAhead: true });
  for (let i = 0; i < 3; i++) await blocks.read(storage, 5, 5);
  t.equal(storage.reads, 3);
});

t.test('what passes the end is refused', async t => {
  const blob = readerOf(randomBytes(1000, 1), 'short');
  const blocks = new BlobBlocks();
  for (const [offset, size] of [
    [995, 6],
    [-1, 2],
    [2000, 1],
  ] as const) {
    const read = async (): Promise<Buffer> => blocks.read(blob, offset, size);
    t.match(await failureOf(read()), { code: 'CORRUPT', message: /bytes at/ });
  }
  t.equal((await blocks.read(blob, 995, 5)).length, 5);
});
