import zlib from 'node:zlib';
import t, { type Test } from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { Inflater } from '../../../lib/compress/inflate.js';
import { inflateAll, zlibBlocks, zlibStops } from '../../support/peers/inflate.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';

/** Text, noise and runs in turn: blocks of all types. */
const mixedBytes = (size: number, seed: number): Buffer => {
  const next = numbers(seed);
  const pieces: Buffer[] = [];
  for (let length = 0; length < size;) {
    const count = 1 + next(30000);
    const kind = next(4);
    if (kind === 0) pieces.push(randomBytes(count, seed + length));
    else if (kind === 1) pieces.push(Buffer.alloc(count, next(256)));
    else pieces.push(wordyBytes(count, seed + length));
    length += count;
  }
  return Buffer.concat(pieces).subarray(0, size);
};

const KINDS: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  byte: Buffer.from('x'),
  text: wordyBytes(50_000, 1),
  noise: randomBytes(20_000, 2),
  zeros: Buffer.alloc(100_000),
  mixed: mixedBytes(60_000, 3),
};
const STRATEGIES = {
  default: zlib.constants.Z_DEFAULT_STRATEGY,
  filtered: zlib.constants.Z_FILTERED,
  huffman: zlib.constants.Z_HUFFMAN_ONLY,
  rle: zlib.constants.Z_RLE,
  fixed: zlib.constants.Z_FIXED,
} as const;
const FEEDS = [1, 3, 17, 1000, 131072] as const;

t.test('plain bytes and block ends are zlib’s, however a stream was made and is fed', async t => {
  let count = 0;
  for (let level = 0; level <= 9; level++) {
    for (const strategy of Object.values(STRATEGIES)) {
      for (const [kind, plain] of Object.entries(KINDS)) {
        const windowBits = 9 + (count % 7);
        const memLevel = 1 + (count % 9);
        const feed = FEEDS[count % FEEDS.length]!;
        count++;
        const stream = zlib.deflateRawSync(plain, { level, strategy, windowBits, memLevel });
        const got = inflateAll(stream, { feed });
        const made = { level, strategy, kind, windowBits, memLevel, feed };
        if (!got.ended || !got.plain.equals(plain)) t.fail('other bytes', made);
        t.equal(got.inputOffset, stream.length, 'to the last byte', made);
        t.strictSame(got.blocks, zlibBlocks(stream, plain.length), 'block ends', made);
      }
    }
  }
  t.equal(count, 300);
});

t.test('the window slides: a stream of several MiB', async t => {
  const plain = mixedBytes(5_000_000, 9);
  const stream = zlib.deflateRawSync(plain, { level: 9 });
  const whole = inflateAll(stream);
  t.ok(whole.plain.equals(plain));
  const cut = inflateAll(stream, { feed: 4097 });
  t.ok(cut.plain.equals(plain));
  t.strictSame(cut.blocks, whole.blocks);
  t.strictSame(whole.blocks, zlibBlocks(stream, plain.length));
});

t.test('what it holds is bounded', async t => {
  const inflater = new Inflater();
  const stream = zlib.deflateRawSync(Buffer.alloc(50_000_000));
  t.equal(inflater.feed(Buffer.alloc(1_000_000)), 0x40000, 'input');
  const bomb = new Inflater();
  t.equal(bomb.feed(stream), stream.length);
  let size = 0;
  for (let stop = bomb.run(); stop !== 'end'; stop = bomb.run()) {
    const made = bomb.take().length;
    if (made > 0x100000) t.fail(`${made} bytes at once`);
    size += made;
  }
  t.equal(size + bomb.output.length, 50_000_000);
});

t.test('output that is not taken stops it, and nothing is lost', async t => {
  const plain = mixedBytes(1_200_000, 10);
  const inflater = new Inflater();
  inflater.feed(zlib.deflateRawSync(plain, { level: 1 }).subarray(0, 0x40000));
  let stop = inflater.run();
  while (stop === 'block') stop = inflater.run();
  const before = Buffer.from(inflater.output);
  inflater.run();
  t.ok(inflater.output.subarray(0, before.length).equals(before));
  t.ok(plain.subarray(0, before.length).equals(before));
});

t.test('inflating starts again at every block end, at every number of bits', async t => {
  const bitsSeen = new Set<number>();
  const other = new Inflater();
  const plain = mixedBytes(400_000, 4);
  for (const memLevel of [1, 8]) {
    const stream = zlib.deflateRawSync(plain, { memLevel });
    inflateAll(stream, {
      feed: 5000,
      onBlock(inflater) {
        const { inputOffset, unusedBits, outputOffset } = inflater;
        const window = inflater.window();
        t.ok(window.equals(plain.subarray(Math.max(0, outputOffset - 0x8000), outputOffset)));
        if (outputOffset === plain.length) return;
        const byte = stream[inputOffset - 1]!;
        const next = stream.subarray(inputOffset, inputOffset + 10_000);
        const { plain: more } = inflateAll(next, {
          feed: 9999,
          start: { window, bits: unusedBits, byte },
          inflater: other,
        });
        const want = plain.subarray(outputOffset, outputOffset + more.length);
        if (more.length === 0 || !more.equals(want)) t.fail(`from ${outputOffset}`);
        bitsSeen.add(unusedBits);
      },
    });
  }
  t.strictSame([...bitsSeen].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

t.test('without the window, a start in the middle is refused', async t => {
  const plain = wordyBytes(300_000, 5);
  const stream = zlib.deflateRawSync(plain, { memLevel: 2 });
  const { inputOffset, unusedBits } = inflateAll(stream).blocks[3]!;
  const bits = { bits: unusedBits, byte: stream[inputOffset - 1]! };
  t.throws(() => inflateAll(stream.subarray(inputOffset), { start: bits }), {
    code: 'CORRUPT',
    message: /reaches back/,
  });
});

t.test('after any amount of output it stands where zlib stands: one symbol ahead', async t => {
  const next = numbers(6);
  for (const [kind, plain] of Object.entries(KINDS)) {
    for (const level of [0, 1, 6]) {
      const stream = zlib.deflateRawSync(plain, { level, memLevel: 3 });
      const inflater = new Inflater();
      inflater.feed(stream);
      const stops = zlibStops(stream);
      const got: Buffer[] = [];
      for (let left = plain.length; left > 0;) {
        const room = Math.min(left, 1 + next(next(2) ? 40 : 5000));
        left -= room;
        const target = plain.length - left;
        let want = stops.next(room);
        while (want.outputOffset < target) want = stops.next(target - want.outputOffset);
        inflater.allow(room);
        do inflater.run();
        while (inflater.outputOffset < target);
        got.push(inflater.take());
        const { inputOffset, outputOffset } = inflater;
        const place = { inputOffset, outputOffset };
        if (inputOffset !== want.inputOffset || outputOffset !== want.outputOffset) {
          t.strictSame(place, want, `${kind}, level ${level}`);
          return;
        }
      }
      t.ok(Buffer.concat(got).equals(plain), `${kind}, level ${level}`);
    }
  }
});

t.test('bytes that are not deflate are the caller’s', async t => {
  const one = zlib.deflateRawSync('the first');
  const two = zlib.deflateRawSync('the second');
  const inflater = new Inflater();
  inflater.feed(Buffer.concat([Buffer.from('HEAD'), one, Buffer.from('between'), two]));
  t.equal(inflater.unused.toString('latin1', 0, 4), 'HEAD');
  inflater.skip(4);
  inflater.begin();
  t.equal(inflater.run(), 'end');
  t.equal(inflater.take().toString(), 'the first');
  inflater.skip(0);
  t.equal(inflater.unused.toString('latin1', 0, 7), 'between');
  inflater.skip(7);
  t.throws(() => inflater.skip(two.length + 1), RangeError);
  inflater.begin();
  t.equal(inflater.run(), 'end');
  t.equal(inflater.window().toString(), 'the second', 'the window is this stream’s');
  t.equal(inflater.outputOffset, 'the first'.length + 'the second'.length);
  t.equal(inflater.inputOffset, 4 + one.length + 7 + two.length);
});

t.test('inflaters do not share anything', async t => {
  const plains = [wordyBytes(90_000, 7), mixedBytes(90_000, 8)];
  const streams = plains.map(plain => zlib.deflateRawSync(plain));
  const inflaters = plains.map(() => new Inflater());
  const got = plains.map((): Buffer[] => []);
  for (let at = 0; at < Math.max(...streams.map(s => s.length)); at += 500) {
    inflaters.forEach((inflater, i) => {
      inflater.feed(streams[i]!.subarray(at, at + 500));
      while (inflater.run() === 'block');
      got[i]!.push(inflater.take());
    });
  }
  plains.forEach((plain, i) => t.ok(Buffer.concat(got[i]!).equals(plain)));
});

/** What zlib makes of a stream; undefined if it refuses it or misses its end. */
const byZlib = (stream: Buffer): Buffer | undefined => {
  try {
    return zlib.inflateRawSync(stream);
  } catch {
    return undefined;
  }
};

/** The same by ours; anything but CORRUPT goes through. */
const byOurs = (stream: Buffer, feed: number, inflater: Inflater): Buffer | undefined => {
  try {
    const { plain, ended } = inflateAll(stream, { feed, inflater });
    return ended ? plain : undefined;
  } catch (error) {
    if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
    return undefined;
  }
};

/** Compares acceptance and bytes over many streams; both outcomes must have come up. */
const compare = (t: Test, streams: Iterable<Buffer>): void => {
  let accepted = 0;
  let refused = 0;
  let feed = 1;
  const inflater = new Inflater();
  for (const stream of streams) {
    feed = (feed * 7) % 1009;
    const want = byZlib(stream);
    const got = byOurs(stream, feed, inflater);
    if (want ? !got?.equals(want) : got !== undefined) {
      t.fail('not as zlib', { stream: stream.toString('hex'), accepted: !!want });
    }
    if (want) accepted++;
    else refused++;
  }
  t.ok(accepted > 0, `${accepted} accepted`);
  t.ok(refused > 0, `${refused} refused`);
};

t.test('damaged and cut streams are accepted and refused as by zlib', async t => {
  function* streams(): Iterable<Buffer> {
    const next = numbers(11);
    for (let i = 0; i < 4000; i++) {
      const plain = [wordyBytes, randomBytes, mixedBytes][i % 3]!(1 + next(3000), i);
      const level = next(10);
      const strategy = Object.values(STRATEGIES)[next(5)]!;
      const stream = zlib.deflateRawSync(plain, { level, strategy, memLevel: 1 });
      for (let flips = next(3); flips >= 0; flips--) {
        const at = next(next(2) ? stream.length : Math.min(60, stream.length));
        stream[at]! ^= 1 << next(8);
      }
      yield next(4) ? stream : stream.subarray(0, next(stream.length));
    }
  }
  compare(t, streams());
});

/** Collects bits from the lowest of each byte on. */
const bitWriter = () => {
  const bits: number[] = [];
  return {
    put(value: number, count: number): void {
      for (let i = 0; i < count; i++) bits.push((value >> i) & 1);
    },
    bytes(): Buffer {
      const out = Buffer.alloc(Math.ceil(bits.length / 8));
      bits.forEach((bit, i) => (out[i >> 3]! |= bit << (i & 7)));
      return out;
    },
  };
};

t.test('sets of codes, complete and not, are accepted and refused as by zlib', async t => {
  // lengths 0 to 7 get codes of three bits: a header may then have any lengths it likes
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const turned = (code: number): number => ((code & 1) << 2) | (code & 2) | ((code & 4) >> 2);
  function* streams(): Iterable<Buffer> {
    const next = numbers(12);
    for (let i = 0; i < 6000; i++) {
      const out = bitWriter();
      const literalCount = 257 + next(i % 10 === 0 ? 32 : 8);
      const distanceCount = 1 + next(i % 10 === 0 ? 32 : 4);
      out.put(0b101, 3);
      out.put(literalCount - 257, 5);
      out.put(distanceCount - 1, 5);
      out.put(15, 4);
      for (const symbol of ORDER) out.put(symbol < 8 ? 3 : 0, 3);
      const lengths = Array.from({ length: literalCount + distanceCount }, () => 0);
      for (let codes = next(5); codes >= 0; codes--) lengths[next(256)] = 1 + next(4);
      if (next(20)) lengths[256] = 1 + next(3);
      for (let codes = next(3); codes > 0; codes--) {
        lengths[257 + next(literalCount - 257 + 1)] = 1 + next(4);
      }
      for (let at = literalCount; at < lengths.length; at++)
        lengths[at] = next(3) ? 1 + next(2) : 0;
      for (const length of lengths) out.put(turned(length), 3);
      for (let k = 0; k < 8; k++) out.put(next(0x10000), 16);
      yield out.bytes();
    }
  }
  compare(t, streams());
});

t.test('noise is refused as by zlib', async t => {
  function* streams(): Iterable<Buffer> {
    for (let i = 0; i < 8000; i++) yield randomBytes(1 + (i % 90), 1000 + i);
  }
  compare(t, streams());
});

t.test('what is wrong, and where', async t => {
  const faulty = (hex: string) => inflateAll(Buffer.from(hex, 'hex'));
  const cases: [hex: string, message: RegExp][] = [
    ['07', /block type/],
    ['010300fffe', /lengths that do not agree/],
    ['fdff' + '00'.repeat(20), /too many/],
    ['0302' + '00'.repeat(20), /reaches back/],
  ];
  for (const [hex, message] of cases) t.throws(() => faulty(hex), { code: 'CORRUPT', message });
  const long = Buffer.concat([
    zlib.deflateRawSync(Buffer.alloc(5), { finishFlush: zlib.constants.Z_FULL_FLUSH }),
    Buffer.from([7]),
  ]);
  const error = t.throws(() => inflateAll(long), { code: 'CORRUPT' }) as RafsError;
  t.equal(error.at.offset, long.length);
});
