import t from 'tap';
import { dumpRecords } from '../../../lib/report/record-dump.js';
import { readImage } from '../../../streams/image/read-image.js';
import { goldenPath } from '../../support/images/golden.js';

for (const name of ['merge.v5', 'merge.v6']) {
  t.test(`${name}: records have their bytes`, async t => {
    const { bootstrap, image } = await readImage(goldenPath(name));
    const dumps = dumpRecords(bootstrap, image);
    t.ok(dumps.length >= 4);
    for (const { offset, fields } of dumps) {
      t.equal(fields[0]!.offset, offset);
      for (const field of fields) {
        const due = image.toString('hex', field.offset, field.offset + 32);
        t.ok(due.startsWith(field.bytes.replace(/[ …]/g, '')), field.name);
      }
    }
    const chunkSize = dumps.flatMap(({ fields }) => fields).find(one => one.name === 'chunkSize');
    t.equal(chunkSize?.value, '1048576 (0x100000)');
  });
}
