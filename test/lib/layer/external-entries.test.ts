import fc from 'fast-check';
import t from 'tap';
import { parseAttributes } from '../../../lib/layer/attributes.js';
import { divideExternal } from '../../../lib/layer/external-entries.js';
import { entryOf } from '../../support/images/entries.js';

/** Paths that end in '/' are directories. */
const divide = (paths: readonly string[], text: string) => {
  const objects = paths.map(path => ({
    entry: path.endsWith('/') ? entryOf('directory', path.slice(0, -1)) : entryOf('file', path),
  }));
  const found: string[] = [];
  const own: string[] = [];
  const external: string[] = [];
  for (const one of divideExternal(objects, parseAttributes(Buffer.from(text)), path =>
    found.push(path),
  )) {
    if (one.own) own.push(one.object.entry.path);
    if (one.external) external.push(one.external.entry.path);
  }
  return { own, external, found };
};

const TREE = ['/', 'a/', 'b/', 'c', 'a/x', 'a/y', 'b/d/', 'b/d/z'];

t.test('what is external is only that, and so is what leads to nothing else', async t => {
  t.same(divide(TREE, 'b/d/z type=external'), {
    own: ['', 'a', 'c', 'a/x', 'a/y'],
    external: ['b', 'b/d', 'b/d/z'],
    found: ['b', 'b/d', 'b/d/z'],
  });
  t.same(divide(TREE, '').own, ['', 'a', 'b', 'c', 'a/x', 'a/y', 'b/d', 'b/d/z']);
  t.same(divide(TREE, 'none type=external').external, []);
});

t.test('a directory that has something else is in both images, before what is in it', async t => {
  t.same(divide(TREE, 'a/y type=external'), {
    own: ['', 'b', 'c', 'a', 'a/x', 'b/d', 'b/d/z'],
    external: ['a', 'a/y'],
    found: ['a', 'a/y'],
  });
  t.same(divide(TREE, 'b type=external').own.slice(-3), ['b', 'b/d', 'b/d/z'], 'listed itself');
});

t.test('a directory that says it is not external is in both', async t => {
  const { own, external } = divide(TREE, 'b type=own\nb/d/z type=external');
  t.same(own, ['', 'a', 'b', 'c', 'a/x', 'a/y']);
  t.same(external, ['b', 'b/d', 'b/d/z']);
});

t.test('nothing is lost and nothing comes twice, in any order', async t => {
  const paths = TREE.slice(1);
  fc.assert(
    fc.property(
      fc.shuffledSubarray(paths, { minLength: paths.length }),
      fc.subarray(paths.map(path => path.replace(/\/$/, ''))),
      (order, listed) => {
        const text = listed.map(path => `${path} type=external\n`).join('');
        const { own, external } = divide(['/', ...order], text);
        t.equal(new Set(own).size, own.length);
        t.equal(new Set(external).size, external.length);
        const both = new Set([...own, ...external]);
        t.same([...both].sort(), ['', ...paths.map(path => path.replace(/\/$/, ''))].sort());
        const files = new Set(order.filter(path => !path.endsWith('/')));
        for (const path of files) t.equal(own.includes(path), !listed.includes(path), path);
        // each image is a tree
        for (const image of [own, external]) {
          for (const path of image) {
            const parent = path.replace(/\/?[^/]*$/, '');
            t.ok(parent === '' || image.includes(parent), `${path} has its directory`);
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});
