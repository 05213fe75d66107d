import { createCipheriv, createDecipheriv } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  decrypt,
  distinctHalves,
  encrypt,
  isMistakable,
  LEAST_SEALED_BATCH,
  newSecret,
  sealedSize,
  secretOf,
  type Secret,
} from '../../../lib/crypto/aes-xts.js';
import { failure } from '../../support/images/golden.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const SECRET: Secret = {
  key: Buffer.from(Array.from({ length: 32 }, (_, i) => i)),
  iv: hex('5a'.repeat(16)),
};

/** What the cipher makes of bytes, with no rule of ours. */
const plainCipher = ({ key, iv }: Secret, bytes: Buffer): Buffer => {
  const cipher = createCipheriv('aes-128-xts', key, iv);
  return Buffer.concat([cipher.update(bytes), cipher.final()]);
};
const plainDecipher = ({ key, iv }: Secret, bytes: Buffer): Buffer => {
  const decipher = createDecipheriv('aes-128-xts', key, iv);
  return Buffer.concat([decipher.update(bytes), decipher.final()]);
};

t.test('test vectors of IEEE 1619-2007, annex B', async t => {
  const count = (size: number): string =>
    Buffer.from(Array.from({ length: size }, (_, i) => i)).toString('hex');
  const stealing = 'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0';
  const vectors: readonly [number, key: string, iv: string, plain: string, stored: string][] = [
    [
      2,
      '11'.repeat(16) + '22'.repeat(16),
      '3333333333',
      '44'.repeat(32),
      'c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0',
    ],
    [15, stealing, '9a78563412', count(17), '6c1625db4671522d3d7599601de7ca09ed'],
    [16, stealing, '9a78563412', count(18), 'd069444b7a7e0cab09e24447d24deb1fedbf'],
    [17, stealing, '9a78563412', count(19), 'e5df1351c0544ba1350b3363cd8ef4beedbf9d'],
    [18, stealing, '9a78563412', count(20), '9d84c813f719aa2c7be3f66171c7c5c2edbf9dac'],
  ];
  for (const [number, key, iv, plain, stored] of vectors) {
    const secret = { key: hex(key), iv: Buffer.concat([hex(iv)], 16) };
    t.equal(encrypt(secret, hex(plain)).toString('hex'), stored, `vector ${number}`);
    t.equal(decrypt(secret, hex(stored)).toString('hex'), plain, `vector ${number}, back`);
  }
});

t.test('short units are padded to 18 bytes, with an end that tells', async t => {
  for (let size = 0; size < 16; size++) {
    const plain = Buffer.alloc(size, 0xee);
    const stored = encrypt(SECRET, plain);
    t.equal(stored.length, 18);
    t.equal(sealedSize(size), 18);
    const pad = (16 - size).toString(16).padStart(2, '0');
    t.equal(
      plainDecipher(SECRET, stored).toString('hex'),
      `${'ee'.repeat(size)}${pad.repeat(16 - size)}7890`,
    );
    t.ok(decrypt(SECRET, stored).equals(plain));
    t.ok(decrypt(SECRET, stored, size).equals(plain));
  }
});

t.test('what is encrypted comes back, whatever its size', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (array, told) => {
      const plain = Buffer.from(array);
      const stored = encrypt(SECRET, plain);
      if (stored.length !== sealedSize(plain.length)) throw new Error(`${stored.length} bytes`);
      if (plain.length >= 16 && !stored.equals(plainCipher(SECRET, plain))) throw new Error('form');
      return decrypt(SECRET, stored, told ? plain.length : undefined).equals(plain);
    }),
  );
});

t.test('18 bytes that end as padding does', async t => {
  const plain = Buffer.concat([Buffer.alloc(15, 7), hex('017890')]);
  t.ok(isMistakable(plain));
  t.ok(isMistakable(Buffer.concat([Buffer.alloc(16), hex('7890')])));
  t.notOk(isMistakable(plain.subarray(1)));
  t.notOk(isMistakable(Buffer.alloc(18)));
  const stored = encrypt(SECRET, plain);
  t.ok(decrypt(SECRET, stored, 18).equals(plain), 'kept where their number is known');
  t.ok(decrypt(SECRET, stored).equals(plain.subarray(0, 15)), 'taken for padded where it is not');
  for (const odd of ['00', '02', '0f', '10', '11', 'ff']) {
    const other = Buffer.concat([Buffer.alloc(15, 7), hex(`${odd}7890`)]);
    t.ok(decrypt(SECRET, encrypt(SECRET, other)).equals(other), `no padding: ${odd}`);
  }
  t.equal(LEAST_SEALED_BATCH, 19);
});

t.test('the halves of a key differ', async t => {
  const same = (byte: string): Buffer => hex(byte.repeat(32));
  t.equal(distinctHalves(same('00')).toString('hex'), 'a5'.repeat(16) + '00'.repeat(16));
  t.equal(distinctHalves(same('a5')).toString('hex'), '5a'.repeat(16) + 'a5'.repeat(16));
  t.ok(distinctHalves(SECRET.key).equals(SECRET.key));
  const one = newSecret();
  const other = newSecret();
  t.equal(one.key.length, 32);
  t.equal(one.iv.length, 16);
  t.notOk(one.key.equals(other.key));
  t.notOk(one.iv.equals(other.iv));
});

t.test('a blob has a secret where it has an IV', async t => {
  t.equal(secretOf({ metaDigest: SECRET.key }), undefined);
  t.same(secretOf({ metaDigest: SECRET.key, cipherIv: SECRET.iv }), SECRET);
});

t.test('what cannot be one unit is refused', async t => {
  t.match(
    failure(() => decrypt(SECRET, Buffer.alloc(15))),
    { code: 'CORRUPT', message: / 15$/ },
  );
  const large = Buffer.alloc(0x1000001);
  t.match(
    failure(() => decrypt(SECRET, large)),
    { code: 'CORRUPT' },
  );
  t.match(
    failure(() => encrypt(SECRET, large)),
    { code: 'LIMIT', message: /16777217/ },
  );
  t.equal(encrypt(SECRET, large.subarray(1)).length, 0x1000000);
});

t.test('another number of bytes than there must be', async t => {
  const stored = encrypt(SECRET, Buffer.alloc(5));
  for (const size of [4, 6, 17, 19]) {
    t.match(
      failure(() => decrypt(SECRET, stored, size)),
      { code: 'MISMATCH' },
    );
  }
});
