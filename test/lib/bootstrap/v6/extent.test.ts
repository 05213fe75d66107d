import t from 'tap';
import { extentOfV6 } from '../../../../lib/bootstrap/v6/extent.js';
import { ExtendedSuperBlock, V6 } from '../../../../lib/layout/rafs-v6.js';
import { BOOTSTRAPS, golden } from '../../../support/images/golden.js';

t.test('the file is the bootstrap, or more, or less', t => {
  for (const name of BOOTSTRAPS) {
    const image = golden(name);
    const size = image.length;
    t.same(extentOfV6(image, size).next().value, { size, isWhole: true }, name);
    t.same(extentOfV6(image, size + 1).next().value, { size, isWhole: false }, name);
    t.same(extentOfV6(image, size - 1).next().value, { size, isWhole: false }, name);
  }
  t.end();
});

t.test('a disk image has zeros up to the first blob', t => {
  const image = golden('merge.v6');
  const size = image.length;
  for (const [fill, isWhole] of [
    [0, true],
    [1, false],
  ] as const) {
    const search = extentOfV6(image, V6.DEVICE_ALIGN * 2);
    t.same(search.next().value, { offset: size, size: V6.DEVICE_ALIGN - size });
    t.same(search.next(Buffer.alloc(10, fill)).value, { size, isWhole });
  }
  t.end();
});

t.test('images of old builders do not say', t => {
  const image = Buffer.from(golden('merge.v6'));
  const extended = ExtendedSuperBlock.decode(image, V6.EXTENDED_OFFSET);
  const none = { ...extended, chunkTableOffset: 0, chunkTableSize: 0 };
  ExtendedSuperBlock.encodeInto(image, V6.EXTENDED_OFFSET, none);
  t.equal(extentOfV6(image, image.length).next().value, undefined);
  t.end();
});
