/** A slice of the flips, the same in every run. */
import t from 'tap';
import { temporaryDirectory } from '../support/process/fs.js';
import { FlipBench, flipCases, flipsOf, regionOf } from './flips.js';

t.test('good images, whatever their files are called', async t => {
  const bench = new FlipBench(temporaryDirectory(t));
  for (const image of await flipCases()) {
    for (const named of [true, false]) {
      t.equal(await bench.finds(image, named), false, `${image.name} ${named}`);
    }
  }
});

t.test('a bit anywhere in an image whose files are named by their sha256', async t => {
  const bench = new FlipBench(temporaryDirectory(t));
  const cases = await flipCases();
  const regions = new Set<string>();
  for (const flip of flipsOf(cases, 400, 3)) {
    const where = `${flip.image.name} ${flip.file.role} ${regionOf(flip)}`;
    regions.add(where);
    const found = await bench.finds(flip.image, true, flip);
    if (!found) t.fail(`${where}: bit ${flip.bit}`);
  }
  t.ok(regions.size > 20, `${regions.size} regions`);
});
