import fc from 'fast-check';
import t from 'tap';
import { crc32, crc32Plain } from '../../../lib/compress/crc32.js';

t.test('checksums', async t => {
  const digits = Buffer.from('123456789');
  for (const sum of [crc32, crc32Plain]) {
    t.equal(sum(digits), 0xcbf43926);
    t.equal(sum(digits.subarray(4), sum(digits.subarray(0, 4))), 0xcbf43926, 'in two parts');
    t.equal(sum(Buffer.alloc(0), 0xcbf43926), 0xcbf43926);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffffffff), (bytes, before) => {
      t.equal(crc32(bytes, before), crc32Plain(bytes, before));
    }),
  );
});
