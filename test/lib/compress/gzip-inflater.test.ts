import fs from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { GzipInflater } from '../../../lib/compress/gzip-inflater.js';
import type { GzipBoundary, GzipPosition } from '../../../lib/compress/gzip-position.js';
import { gzipMember } from '../../support/tar/gzip.js';
import { layerPath } from '../../support/tar/layers.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { cutAt } from '../../support/stream/stage.js';
import { zlibStops } from '../../support/peers/zlib-positions.js';

interface Step {
  bytes: Buffer;
  position: GzipPosition;
  boundary: GzipBoundary;
}

/** Takes steps of the given sizes through a source that comes in parts. */
const stepsOf = (parts: readonly Buffer[], sizes: readonly number[]): Step[] => {
  const steps = new GzipInflater({ boundaries: true });
  const left = [...parts];
  const made = sizes.map(size => {
    const pieces: Buffer[] = [];
    for (let missing = size; missing > 0;) {
      const piece = steps.next(missing);
      if (!piece) {
        steps.feed(left.shift()!);
        continue;
      }
      pieces.push(Buffer.from(piece));
      missing -= piece.length;
    }
    const boundary = steps.boundary!;
    return {
      bytes: Buffer.concat(pieces),
      position: { ...steps.position },
      boundary: { ...boundary, window: Buffer.from(boundary.window) },
    };
  });
  for (;;) {
    if (steps.next(1)) throw new Error('there is more');
    const part = left.shift();
    if (!part) break;
    steps.feed(part);
  }
  steps.end();
  return made;
};

/** Random sizes that sum up to `total`; mostly small ones, as headers and files are. */
const randomSizes = (total: number, seed: number): number[] => {
  const next = numbers(seed);
  const sizes: number[] = [];
  for (let left = total; left > 0;) {
    const size = Math.min(left, 1 + next([1, 512, 5000, 200_000][next(4)]!));
    sizes.push(size);
    left -= size;
  }
  return sizes;
};

/** Members of all kinds of blocks, with more than 64 KiB of input. */
const plain = Buffer.concat([
  wordyBytes(700_000, 1),
  randomBytes(200_000, 2),
  Buffer.alloc(400_000),
  wordyBytes(300_000, 3),
]);

t.test('positions and boundaries are those of zlib, for steps of any size', t => {
  let stored = 0;
  for (let seed = 1; seed <= 24; seed++) {
    const options = { level: seed % 10, strategy: seed % 5, memLevel: 1 + (seed % 9) };
    const cut = (seed * 123_457) % plain.length;
    const source = Buffer.concat([
      gzipMember(plain.subarray(0, cut), { name: Buffer.from('n') }, options),
      gzipMember(Buffer.alloc(0)),
      gzipMember(plain.subarray(cut), { crc: seed % 2 === 0 }, options),
    ]);
    const sizes = randomSizes(plain.length, seed);
    const due = zlibStops(source, sizes);
    const got = stepsOf([source], sizes);
    let at = 0;
    let differences = 0;
    got.forEach(({ bytes, position, boundary }, i) => {
      const { boundary: wanted, ...place } = due[i]!;
      const { inOffset, outOffset, bits, byte, window } = boundary;
      const start = outOffset <= cut ? 0 : cut; // a window does not reach into another member
      const same =
        bytes.equals(plain.subarray(at, at + bytes.length)) &&
        position.inOffset === place.inOffset &&
        position.outOffset === place.outOffset &&
        inOffset === wanted.inOffset &&
        outOffset === wanted.outOffset &&
        bits === wanted.bits &&
        byte === (bits === 0 ? 0 : source[inOffset - 1]!) &&
        (window.length === 0 ||
          window.equals(plain.subarray(Math.max(start, outOffset - 0x8000), outOffset)));
      if (!same) differences++;
      if (options.level === 0) stored++;
      at += bytes.length;
    });
    t.equal(differences, 0, `seed ${seed}: of ${sizes.length} steps`);
  }
  t.ok(stored > 0, 'stored blocks, too');
  t.end();
});

t.test('a window is what the member has made, up to 32 KiB', t => {
  const source = gzipMember(plain, {}, { level: 6 });
  let whole = 0;
  for (const { boundary } of stepsOf([source], randomSizes(plain.length, 5))) {
    const due = Math.min(boundary.outOffset, 0x8000);
    t.equal(boundary.window.length, due);
    if (due === 0x8000) whole++;
  }
  t.ok(whole > 10);
  t.end();
});

t.test('however the source is cut', t => {
  const source = Buffer.concat([gzipMember(plain.subarray(0, 900_000)), gzipMember(plain)]);
  const sizes = randomSizes(900_000 + plain.length, 9);
  const due = stepsOf([source], sizes);
  fc.assert(
    fc.property(fc.array(fc.nat(source.length), { maxLength: 20 }), cuts => {
      const parts = cutAt(source, [...cuts, 0x10000, 0x10001, 0x20000]).map(({ bytes }) => bytes);
      t.same(stepsOf(parts, sizes), due);
    }),
    { numRuns: 20 },
  );
  t.end();
});

t.test('a layer by the byte', t => {
  const source = fs.readFileSync(layerPath('gz-members.tar.gz')).subarray(0);
  const tar = gunzipSync(source);
  const sizes = randomSizes(tar.length, 3);
  const bytes = Array.from({ length: source.length }, (_, i) => source.subarray(i, i + 1));
  t.same(stepsOf(bytes, sizes), stepsOf([source], sizes));
  t.end();
});

t.test('what is cut or damaged is CORRUPT', t => {
  const source = gzipMember(wordyBytes(100_000, 4));
  const next = numbers(6);
  const inflate = (bytes: Buffer): number => {
    const steps = new GzipInflater();
    let size = 0;
    steps.feed(bytes);
    for (let piece; (piece = steps.next(Infinity));) size += piece.length;
    steps.end();
    return size;
  };
  t.equal(inflate(source), 100_000);
  t.equal(inflate(Buffer.concat([source, Buffer.alloc(3000)])), 100_000, 'zeros may follow');
  for (let i = 0; i < 60; i++) {
    const wrong = Buffer.from(source);
    wrong[10 + next(source.length - 10)]! ^= 1 << next(8);
    t.throws(() => inflate(wrong), { name: 'RafsError', code: 'CORRUPT' }, `damaged, ${i}`);
  }
  const steps = new GzipInflater();
  steps.feed(source.subarray(0, source.length - 3));
  while (steps.next(Infinity));
  t.throws(() => steps.end(), { code: 'CORRUPT', message: /end in the trailer/ });
  t.throws(() => {
    const twice = new GzipInflater();
    twice.feed(source);
    twice.feed(source);
  }, /input left/);
  t.end();
});
