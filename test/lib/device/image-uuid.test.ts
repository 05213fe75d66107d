import t from 'tap';
import { imageUuid, withUuid } from '../../../lib/device/image-uuid.js';
import { SuperBlock, V6 } from '../../../lib/layout/rafs-v6.js';
import { golden } from '../../support/images/golden.js';

t.test('a UUID by the content, in the superblock of a copy', t => {
  const image = golden('merge.v6');
  const uuid = imageUuid(image);
  t.ok(uuid.equals(imageUuid(Buffer.from(image))));
  t.notOk(uuid.equals(imageUuid(golden('prefetch.fs'))));
  const copy = withUuid(image, uuid);
  t.ok(SuperBlock.decode(copy, V6.SUPER_OFFSET).uuid.equals(uuid));
  t.ok(image.equals(golden('merge.v6')), 'the image itself stays');
  t.end();
});
