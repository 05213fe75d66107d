import t from 'tap';
import { extentOfV5 } from '../../../../lib/bootstrap/v5/extent.js';
import { BOOTSTRAPS_V5, golden } from '../../../support/images/golden.js';

t.test('the file is the bootstrap, or more, or less', t => {
  for (const name of BOOTSTRAPS_V5) {
    const image = golden(name);
    const size = image.length;
    for (const fileSize of [size, size + 8, size - 8]) {
      const search = extentOfV5(image, fileSize);
      let step = search.next();
      while (!step.done) {
        const { offset, size: length } = step.value;
        step = search.next(image.subarray(offset, offset + length));
      }
      t.same(step.value, { size, isWhole: fileSize === size }, name);
    }
  }
  t.end();
});
