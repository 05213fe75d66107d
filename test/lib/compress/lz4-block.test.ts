import { createHash } from 'node:crypto';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { lz4Compress, lz4Decompress } from '../../../lib/compress/lz4-block.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';

/** Copies of earlier bytes, near and out of reach, between noise. */
const copiedBytes = (size: number, seed: number): Buffer => {
  const next = numbers(seed);
  const noise = randomBytes(0x10000, seed);
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size;) {
    const count = Math.min(1 + next(300), size - at);
    if (next(2) === 0 || at === 0) noise.copy(bytes, at, next(0xff00));
    else bytes.copyWithin(at, Math.max(0, at - 1 - next(80_000)), at);
    at += count;
  }
  return bytes;
};

const MAKERS = {
  words: wordyBytes,
  noise: randomBytes,
  zeros: (size: number) => Buffer.alloc(size),
  repeats: (size: number, seed: number) => Buffer.alloc(size, randomBytes(1 + seed * 1000, seed)),
  copies: copiedBytes,
  sparse: (size: number, seed: number) => {
    const bytes = Buffer.alloc(size);
    const next = numbers(seed);
    for (let at = 0; at < size; at += 1 + next(200)) bytes[at] = next(256);
    return bytes;
  },
} as const;
type Kind = keyof typeof MAKERS;

/** Sizes around every limit of the format and of the two tables, which change at 65547. */
const SIZES = [0, 1, 5, 12, 13, 14, 19, 64, 270, 271, 4096, 65535, 65546, 65547, 65548, 300_000];

// sha256 over the blocks of all SIZES, each after its size as 4 bytes; by liblz4 1.10.0's
// LZ4_compress_default on x86-64, from the same inputs
const GOLDEN: Readonly<Record<Kind, string>> = {
  words: 'e92b355a2a5607964f4de7ab8a771589561d2acae0d8a0bee130663d060e9c0b',
  noise: 'c9ab96a2024f8931329eeaf0b126f5d624fe06362693aa0d6c027ac9ec3aa3c8',
  zeros: '1e600a42b35244e8b3d9e15fb45d340b8c7e29b50ef4f761113a9f5a1251ab00',
  repeats: '3c6a884130116850bba68d1639c0038659ed1a77870b9f315232a33d0d6060e1',
  copies: '3615e846400d01d26dca249aef423370d402b745b5f8b7d469d8cbd8be010260',
  sparse: '41f4f2b803cd2ed7e144a6b4ff91bddddd9119357dd5e70ac0959bcca1ffbcd4',
};

t.test('blocks are those of LZ4_compress_default', async t => {
  for (const kind of Object.keys(MAKERS) as Kind[]) {
    const hash = createHash('sha256');
    SIZES.forEach((size, seed) => {
      const block = lz4Compress(MAKERS[kind](size, seed));
      const head = Buffer.alloc(4);
      head.writeUInt32LE(block.length);
      hash.update(head).update(block);
    });
    t.equal(hash.digest('hex'), GOLDEN[kind], kind);
  }
});

/** The block format in plain words; undefined for what breaks it. */
const decode = (block: Buffer, size: number): Buffer | undefined => {
  const out: number[] = [];
  let at = 0;
  const length = (nibble: number): number => {
    let sum = nibble;
    if (nibble < 15) return sum;
    for (;;) {
      const byte = block[at++];
      if (byte === undefined) return NaN;
      sum += byte;
      if (byte < 255) return sum;
    }
  };
  for (;;) {
    const token = block[at++];
    if (token === undefined) return undefined;
    const literals = length(token >> 4);
    if (!(at + literals <= block.length)) return undefined;
    for (let i = 0; i < literals; i++) out.push(block[at++]!);
    if (at === block.length) return out.length === size ? Buffer.from(out) : undefined;
    if (at + 2 > block.length || out.length > size - 12) return undefined;
    const distance = block[at]! | (block[at + 1]! << 8);
    at += 2;
    const count = length(token & 15) + 4;
    if (distance === 0 || distance > out.length || !(out.length + count <= size - 5)) {
      return undefined;
    }
    for (let i = 0; i < count; i++) out.push(out[out.length - distance]!);
  }
};

t.test('blocks give their bytes back, to this decoder and to another', async t => {
  for (const kind of Object.keys(MAKERS) as Kind[]) {
    SIZES.forEach((size, seed) => {
      const bytes = MAKERS[kind](size, seed);
      const block = lz4Compress(bytes);
      t.ok(lz4Decompress(block, size).equals(bytes), `${kind} ${size}`);
      t.ok(decode(block, size)?.equals(bytes), `${kind} ${size}, other decoder`);
    });
  }
});

t.test('a large chunk, and a small one after it', async t => {
  const bytes = Buffer.alloc(40_000_000, wordyBytes(100_000, 1));
  const block = lz4Compress(bytes);
  t.ok(lz4Decompress(block, bytes.length).equals(bytes));
  const small = lz4Compress(Buffer.from('abc'));
  t.equal(small.toString('hex'), '30616263');
  t.ok(lz4Decompress(block, bytes.length).equals(bytes));
});

t.test('results are the caller’s', async t => {
  const one = lz4Compress(wordyBytes(5000, 1));
  const copy = Buffer.from(one);
  const plain = lz4Decompress(one, 5000);
  lz4Compress(randomBytes(9000, 2));
  t.ok(one.equals(copy));
  t.ok(plain.equals(wordyBytes(5000, 1)));
});

t.test('damaged blocks give what the format says, or CORRUPT', async t => {
  const next = numbers(3);
  const pools = [wordyBytes(100_000, 4), copiedBytes(100_000, 5), randomBytes(100_000, 6)];
  const some = (pool: number, size: number): Buffer => {
    const from = next(99_000);
    return Buffer.from(pools[pool]!.subarray(from, from + size));
  };
  let accepted = 0;
  let refused = 0;
  for (let i = 0; i < 30_000; i++) {
    const size = next(i % 3 === 0 ? 700 : 50);
    const bytes = some(i % 2, size);
    let block = i % 7 === 0 ? some(2, 1 + next(14)) : lz4Compress(bytes);
    for (let flips = next(3); flips > 0; flips--) block[next(block.length)]! ^= 1 << next(8);
    if (next(4) === 0) block = block.subarray(0, next(block.length));
    const asked = next(4) ? size : Math.max(0, size + next(9) - 4);
    const want = decode(block, asked);
    let got: Buffer | undefined;
    try {
      got = lz4Decompress(block, asked);
    } catch (error) {
      if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
    }
    if (want ? !got?.equals(want) : got !== undefined) {
      t.fail('not as the format says', { block: block.toString('hex'), asked });
    }
    if (got) accepted++;
    else refused++;
  }
  t.ok(accepted > 1000, `${accepted} accepted`);
  t.ok(refused > 1000, `${refused} refused`);
});

t.test('a size that no such block can have is refused before memory is asked for', async t => {
  t.throws(() => lz4Decompress(Buffer.alloc(100), 2 ** 40), { code: 'CORRUPT' });
  t.throws(() => lz4Decompress(Buffer.alloc(0), 0), { code: 'CORRUPT' });
});
