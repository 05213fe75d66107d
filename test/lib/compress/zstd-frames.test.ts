import fc from 'fast-check';
import t from 'tap';
import type { RafsError } from '../../../lib/errors.js';
import { ZstdFrames } from '../../../lib/compress/zstd-frames.js';
import { randomBytes, wordyBytes } from '../../support/random.js';
import { cutAt } from '../../support/stream/stage.js';
import { makeFrame, skippableFrame, storedFrame } from '../../support/tar/zstd.js';

/** The frames found in a source that is cut at `cuts`. */
const split = (source: Buffer, cuts: readonly number[]): Buffer[] => {
  const splitter = new ZstdFrames();
  const frames: Buffer[] = [];
  let pieces: Buffer[] = [];
  for (const { bytes } of cutAt(source, cuts)) {
    for (const piece of splitter.push(bytes)) {
      pieces.push(Buffer.from(piece.bytes));
      if (!piece.last) continue;
      frames.push(Buffer.concat(pieces));
      pieces = [];
    }
  }
  splitter.end();
  t.equal(pieces.length, 0, 'the last frame ends');
  return frames;
};

const FRAMES: readonly Buffer[] = [
  storedFrame(Buffer.from('stored')),
  storedFrame(Buffer.alloc(0)),
  ...(makeFrame
    ? [
        makeFrame(Buffer.alloc(0)),
        makeFrame(Buffer.alloc(300_000), { checksum: true }),
        makeFrame(wordyBytes(300_000, 1), { contentSize: false, checksum: true }),
        makeFrame(wordyBytes(70_000, 2)),
        makeFrame(randomBytes(200_000, 3), { contentSize: false }),
        makeFrame(Buffer.from('x'), { checksum: true }),
      ]
    : []),
];

t.test('frames are found, and skippable ones left out, however the source is cut', async t => {
  const skippable = [skippableFrame(Buffer.from('skip me')), skippableFrame(Buffer.alloc(0), 15)];
  const all = [...FRAMES, ...skippable];
  fc.assert(
    fc.property(
      fc.array(fc.nat(all.length - 1), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (order, cuts) => {
        const got = split(Buffer.concat(order.map(i => all[i]!)), cuts);
        const want = order.filter(i => i < FRAMES.length).map(i => FRAMES[i]!);
        t.strictSame(got.length, want.length);
        got.forEach((frame, i) => t.ok(frame.equals(want[i]!)));
      },
    ),
  );
  const whole = Buffer.concat([...skippable, storedFrame(Buffer.from('abc')), ...skippable]);
  const bytewise = split(
    whole,
    Array.from({ length: whole.length }, (_, i) => i),
  );
  t.strictSame(bytewise, [storedFrame(Buffer.from('abc'))]);
});

t.test('a source that is cut, or has none, is CORRUPT at its end', async t => {
  const frame = storedFrame(Buffer.from('stored'));
  const source = Buffer.concat([skippableFrame(Buffer.from('s')), frame, frame]);
  const ends = new Set([9, 9 + frame.length, source.length]);
  for (let size = 0; size <= source.length; size++) {
    const run = () => split(source.subarray(0, size), [5, 11]);
    if (ends.has(size)) run();
    else t.throws(run, { code: 'CORRUPT', at: { offset: size } });
  }
});

t.test('what begins no frame is CORRUPT there', async t => {
  const frame = storedFrame(Buffer.from('stored'));
  const source = Buffer.concat([frame, Buffer.from('no frame')]);
  const error = t.throws(() => split(source, [3, frame.length + 1])) as RafsError;
  t.match(error, { code: 'CORRUPT', at: { offset: frame.length } });
});
