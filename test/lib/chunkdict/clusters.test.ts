import t from 'tap';
import { ImageClusters, type ImageRows } from '../../../lib/chunkdict/clusters.js';
import type { ChunkRows } from '../../../lib/chunkdict/rows.js';
import { chunkRow, digestOf, rowsOf } from '../../support/images/chunkdict.js';

/** Images with these contents, each of 4096 bytes. */
const imagesOf = (contents: readonly (readonly (string | number)[])[]) => {
  const rows = rowsOf(
    contents.flatMap((list, n) => list.map(content => chunkRow({ image: `i${n}`, content }))),
  );
  let first = 0;
  const images = contents.map((list, image): ImageRows => {
    const own = list.map((_, i) => first + i);
    first += list.length;
    return { image, rows: own };
  });
  return { rows, images };
};

const contentsOf = (rows: ChunkRows, list: readonly number[], names: readonly string[]): string[] =>
  list.map(row => names.find(name => digestOf(name).equals(rows.digestOf(rows.digest.get(row))))!);

t.test('ten equal images are a cluster, nine are none', async t => {
  for (const [count, clustered] of [
    [9, 0],
    [10, 10],
  ] as const) {
    const { rows, images } = imagesOf(Array.from({ length: count }, () => ['a', 'b']));
    const clusters = new ImageClusters(rows, images);
    clusters.cluster(0.5);
    t.equal(clusters.clusteredCount, clustered);
    t.equal(clusters.shared().length, clustered > 0 ? 1 : 0);
  }
});

t.test('a cluster shares what nine of ten of its images have', async t => {
  const { rows, images } = imagesOf(
    Array.from({ length: 10 }, (_, n) => ['base', 'lib', ...(n < 9 ? ['most'] : []), `own ${n}`]),
  );
  const clusters = new ImageClusters(rows, images);
  clusters.cluster(0.75);
  const [cluster, ...others] = clusters.shared();
  t.same(others, []);
  t.same([...cluster!.images], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.same(contentsOf(rows, cluster!.rows, ['base', 'lib', 'most']), ['base', 'lib', 'most']);
});

t.test('images with nothing in common are in no cluster', async t => {
  const { rows, images } = imagesOf(Array.from({ length: 12 }, (_, n) => [`own ${n}`]));
  const clusters = new ImageClusters(rows, images);
  for (const radius of [0.5, 0.7, 0.85]) clusters.cluster(radius);
  t.equal(clusters.clusteredCount, 0);
});

t.test('two kinds of images are two clusters, also where radii find them one by one', async t => {
  const close = Array.from({ length: 10 }, () => ['a', 'b']);
  const loose = Array.from({ length: 10 }, (_, n) => ['x', 'y', 'z', `own ${n}`]);
  const { rows, images } = imagesOf([...close, ...loose]);
  const clusters = new ImageClusters(rows, images);
  clusters.cluster(0.5);
  t.equal(clusters.clusteredCount, 10);
  clusters.cluster(0.7); // (4 + 4 - 3) / 8 of any two are not shared
  t.equal(clusters.clusteredCount, 20);
  const [first, second, ...others] = clusters.shared();
  t.same(others, []);
  t.same(contentsOf(rows, first!.rows, ['a', 'b']), ['a', 'b']);
  t.same(contentsOf(rows, second!.rows, ['x', 'y', 'z']), ['x', 'y', 'z']);
});

t.test('what repeats within one image makes it nearer', async t => {
  // of eight chunks three are distinct: 3/8 from any other such, and (1 + 1) / 5 apart otherwise
  const { rows, images } = imagesOf(
    Array.from({ length: 10 }, (_, n) => ['a', 'a', 'a', `own ${n}`]),
  );
  const clusters = new ImageClusters(rows, images);
  clusters.cluster(0.37);
  t.equal(clusters.clusteredCount, 0);
  clusters.cluster(0.375);
  t.equal(clusters.clusteredCount, 10);
});

t.test('images of nothing are near to nothing', async t => {
  const { rows, images } = imagesOf(Array.from({ length: 12 }, () => []));
  const clusters = new ImageClusters(rows, images);
  clusters.cluster(0.85);
  t.equal(clusters.clusteredCount, 0);
  t.same(clusters.shared(), []);
});
