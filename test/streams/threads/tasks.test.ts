import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ChunkHashes } from '../../../lib/chunk/chunk-hashes.js';
import { DigestFilter } from '../../../lib/chunk/digest-filter.js';
import { compress, compressBound } from '../../../lib/compress/compressors.js';
import { crc32cPlain } from '../../../lib/crypto/digest.js';
import { blockDigests } from '../../../lib/device/verity.js';
import { performerOf, prepareTask } from '../../../streams/threads/tasks.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

const SIZES = [1, 4096, 0, 4904];
const BYTES = wordyBytes(9001, 1);

const memoryOf = (bytes: Buffer) => {
  const plain = new SharedArrayBuffer(bytes.length + 100);
  bytes.copy(Buffer.from(plain));
  return { plain, packed: new SharedArrayBuffer(compressBound(bytes.length)) };
};
const chunks = SIZES.map((size, i) => {
  const from = SIZES.slice(0, i).reduce((sum, one) => sum + one, 0);
  return BYTES.subarray(from, from + size);
});
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

t.test('chunks are hashed', async t => {
  const hashes = new ChunkHashes(performerOf({ kind: 'hash-chunks' })(memoryOf(BYTES), SIZES));
  chunks.forEach((chunk, i) => {
    t.ok(sha256(chunk).equals(hashes.digest(i)), `digest of ${chunk.length} bytes`);
    t.equal(hashes.checksums[i], crc32cPlain(chunk), `checksum of ${chunk.length} bytes`);
  });
});

t.test('chunks are compressed, and hashed if that is wanted', async t => {
  await prepareTask('compress');
  for (const compressor of ['zstd', 'lz4_block', 'none'] as const) {
    const seen = DigestFilter.for(10);
    const memory = memoryOf(BYTES);
    const due = chunks.map(chunk => compress(compressor, chunk));
    const stored = due.map(one => one?.length ?? 0);
    t.same(performerOf({ kind: 'compress', compressor })(memory, SIZES).stored, stored);
    const packed = Buffer.concat(due.filter(one => one !== undefined));
    t.ok(Buffer.from(memory.packed, 0, packed.length).equals(packed));
    const hashing = { digester: 'sha256', seen: seen.memory } as const;
    const made = performerOf({ kind: 'compress', compressor, hashing })(memory, SIZES);
    t.same(made.stored, stored);
    t.ok(sha256(chunks[1]!).equals(new ChunkHashes(made.hashes!).digest(1)));
  }
});

t.test('a slab full of noise has room', async t => {
  await prepareTask('compress');
  for (const compressor of ['zstd', 'lz4_block'] as const) {
    const perform = performerOf({ kind: 'compress', compressor });
    const memory = memoryOf(randomBytes(0x10000, 1));
    t.same(perform(memory, [0x10000]).stored, [0]);
    const ones = Array.from({ length: 0x10000 }, () => 1);
    t.same(perform(memory, ones).stored, Array(0x10000).fill(0));
    t.same(perform(memory, [0x8000, 0x7fff, 1]).stored, [0, 0, 0]);
  }
});

t.test('blocks are hashed, and runs of slabs', async t => {
  const blocks = performerOf({ kind: 'hash-blocks', blockSize: 512 });
  t.same(blocks(memoryOf(BYTES), [512, 512]), blockDigests(BYTES.subarray(0, 1024), 512));
  const run = performerOf({ kind: 'hash-run' });
  t.same(Buffer.from(run(memoryOf(BYTES), [9001])), sha256(BYTES));
  const twice = run(memoryOf(BYTES), [9000]);
  t.same(Buffer.from(twice), sha256(Buffer.concat([BYTES, BYTES.subarray(0, 9000)])));
});

t.test('a file is hashed, as far as it goes, and until that is given up', async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, BYTES);
  const fd = fs.openSync(file, 'r');
  t.teardown(() => fs.closeSync(fd));
  const stop = new SharedArrayBuffer(4);
  const digest = sha256(BYTES).toString('hex');
  const none = memoryOf(Buffer.alloc(0));
  for (const size of [9001, 20000]) {
    t.same(performerOf({ kind: 'hash-file', fd, size, stop })(none, []), { digest, size: 9001 });
  }
  new Int32Array(stop)[0] = 1;
  t.throws(() => performerOf({ kind: 'hash-file', fd, size: 9001, stop })(none, []), /given up/);
});
