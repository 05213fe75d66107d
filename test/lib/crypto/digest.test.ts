import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  crc32c,
  crc32cPlain,
  digest,
  digestInto,
  DIGESTERS,
  digesterName,
  prepareDigests,
  sha256,
} from '../../../lib/crypto/digest.js';
import { randomBytes } from '../../support/random.js';
import { withoutNative } from '../../support/process/without-native.js';

type DigestModule = typeof import('../../../lib/crypto/digest.js');
const URL_OF_DIGEST = new URL('../../../lib/crypto/digest.js', import.meta.url);

/** The inputs of the BLAKE3 test vectors: bytes 0 to 250, over and over. */
const blakeInput = (size: number): Buffer =>
  Buffer.from(Array.from({ length: size }, (_, i) => i % 251));

/** From the test vectors that are published with BLAKE3. */
const BLAKE3 = new Map([
  [0, 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
  [1, '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213'],
  [1024, '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7'],
]);

t.test('digests have their numbers on disk', async t => {
  t.same(DIGESTERS, { blake3: 0, sha256: 1 });
  t.equal(digesterName(0), 'blake3');
  t.equal(digesterName(1), 'sha256');
  for (const id of [2, -1, 0xffffffff]) {
    t.throws(() => digesterName(id), {
      name: 'RafsError',
      code: 'CORRUPT',
      message: new RegExp(`${id}`),
    });
  }
});

t.test('blake3 has to be made ready', async t => {
  const fresh = (await import(`${URL_OF_DIGEST.href}?unprepared`)) as DigestModule;
  t.throws(() => fresh.digest('blake3', Buffer.alloc(1)), { message: /prepareDigests/ });
  t.equal(fresh.digest('sha256', Buffer.alloc(0)).length, 32, 'sha256 has not');
});

t.test('known digests', async t => {
  await prepareDigests();
  await prepareDigests(); // twice does no harm
  for (const [size, hex] of BLAKE3)
    t.equal(digest('blake3', blakeInput(size)).toString('hex'), hex);
  t.equal(
    digest('sha256', Buffer.from('abc')).toString('hex'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  t.equal(
    sha256(Buffer.alloc(0)).toString('hex'),
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  );
});

t.test('a digest is a buffer of its own', async t => {
  await prepareDigests();
  for (const algorithm of ['blake3', 'sha256'] as const) {
    const first = digest(algorithm, Buffer.from('1'));
    const copy = Buffer.from(first);
    digest(algorithm, Buffer.from('2'));
    t.ok(first.equals(copy), algorithm);
    t.equal(first.length, 32);
  }
});

t.test('a digest is written where it is wanted', async t => {
  await prepareDigests();
  for (const algorithm of ['blake3', 'sha256'] as const) {
    const target = Buffer.alloc(40, 0xee);
    digestInto(algorithm, blakeInput(5000), target, 5);
    t.same(target.subarray(5, 37), digest(algorithm, blakeInput(5000)));
    t.same([...target.subarray(0, 5), ...target.subarray(37)], Array(8).fill(0xee), 'and no more');
  }
});

t.test('without native packages blake3 and crc32c are the same', async t => {
  await prepareDigests();
  await withoutNative(
    URL_OF_DIGEST,
    ['@napi-rs/blake-hash', '@node-rs/crc32'],
    async (fresh: DigestModule) => {
      await fresh.prepareDigests();
      for (const [size, hex] of BLAKE3) {
        t.equal(fresh.digest('blake3', blakeInput(size)).toString('hex'), hex);
      }
      for (const size of [0, 1, 63, 64, 1023, 1025, 4096, 0x100000]) {
        const bytes = randomBytes(size, size);
        t.ok(fresh.digest('blake3', bytes).equals(digest('blake3', bytes)), `${size} bytes`);
        t.equal(fresh.crc32c(bytes), crc32c(bytes));
      }
      t.equal(fresh.crc32c, fresh.crc32cPlain);
    },
  );
});

t.test('CRC-32C: its check value, and the plain one as the native one', async t => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  t.equal(crc32cPlain(Buffer.from('123456789')), 0xe3069283);
  t.equal(crc32cPlain(Buffer.alloc(32)), 0x8a9136aa, 'RFC 3720: 32 zeros');
  t.equal(crc32cPlain(Buffer.alloc(32, 0xff)), 0x62a8ab43, 'RFC 3720: 32 ones');
  t.equal(crc32c(Buffer.alloc(0)), 0);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3000, size: 'max' }),
      bytes => crc32c(bytes) === crc32cPlain(bytes),
    ),
  );
});

t.test('a view is digested as what it shows', async t => {
  await prepareDigests();
  const bytes = randomBytes(300, 1);
  const view = bytes.subarray(17, 117);
  const copy = Buffer.from(view);
  t.ok(digest('blake3', view).equals(digest('blake3', copy)));
  t.equal(crc32c(view), crc32c(copy));
  t.ok(sha256(view).equals(createHash('sha256').update(copy).digest()));
});
