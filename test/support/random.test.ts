import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { numbers, randomBytes, wordyBytes } from './random.js';

t.test('random bytes do not compress, use all values alike, and differ by seed', async t => {
  const bytes = randomBytes(0x40000, 1);
  t.equal(bytes.length, 0x40000);
  t.ok(deflateRawSync(bytes).length > bytes.length);
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte]!++;
  t.ok(
    counts.every(count => count > 800 && count < 1300),
    'each value about 1024 times',
  );
  t.ok(randomBytes(0x1000, 1).equals(bytes.subarray(0, 0x1000)), 'the same in every run');
  t.notOk(randomBytes(0x1000, 2).equals(bytes.subarray(0, 0x1000)));
});

t.test('wordy bytes compress to between a fifth and a half', async t => {
  const bytes = wordyBytes(0x40000, 1);
  t.equal(bytes.length, 0x40000);
  const packed = deflateRawSync(bytes).length;
  t.ok(packed > bytes.length / 5 && packed < bytes.length / 2, `${packed}`);
});

t.test('numbers stay below their limit and reach all of it', async t => {
  const next = numbers(7);
  const seen = new Set(Array.from({ length: 1000 }, () => next(10)));
  t.same([...seen].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
