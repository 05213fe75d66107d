import t from 'tap';
import { recordsV6 } from '../../../../lib/bootstrap/v6/records.js';
import { readImage } from '../../../../streams/image/read-image.js';
import { goldenPath } from '../../../support/images/golden.js';

t.test('the first record of each table, which can all be read', async t => {
  const { bootstrap, image } = await readImage(goldenPath('merge.v6'));
  const places = recordsV6(bootstrap);
  t.strictSame(
    places.map(({ layout }) => layout.name),
    ['SuperBlock', 'ExtendedSuperBlock', 'DeviceSlot', 'BlobEntry', 'ChunkRecord'],
  );
  for (const { layout, offset } of places) {
    t.ok(Object.keys(layout.decode(image, offset)).length > 0);
  }
});
