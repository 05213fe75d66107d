import t from 'tap';
import { recordsV5 } from '../../../../lib/bootstrap/v5/records.js';
import { readImage } from '../../../../streams/image/read-image.js';
import { goldenPath } from '../../../support/images/golden.js';

t.test('the first record of each table, which can all be read', async t => {
  const { bootstrap, image } = await readImage(goldenPath('merge.v5'));
  const places = recordsV5(bootstrap, image);
  t.strictSame(
    places.map(({ layout }) => layout.name),
    ['SuperBlockV5', 'BlobHeadV5', 'ExtendedBlobEntryV5', 'InodeV5'],
  );
  for (const { layout, offset } of places) {
    t.ok(Object.keys(layout.decode(image, offset)).length > 0);
  }
});
