import fc from 'fast-check';
import t from 'tap';
import { inOrder, sortChildren } from '../../../lib/tree/sorted-children.js';
import { imageOf, randomEntries, walkOrder } from '../../support/images/images.js';

t.test('children in byte order, of every directory that can be reached', async () => {
  fc.assert(
    fc.property(randomEntries(), entries => {
      const { tree, model } = imageOf(entries);
      const { children, childStart, childCount } = sortChildren(tree);
      for (const [path, node] of model.all()) {
        if (node.type !== 'directory') continue;
        const row = tree.find(path);
        const start = childStart[row]!;
        const names = [...children.subarray(start, start + childCount[row]!)].map(child =>
          tree.name(child),
        );
        const due = [...node.children.keys()].sort((a, b) => (a < b ? -1 : 1));
        if (names.join('/') !== due.join('/')) throw new Error(`children of '${path}'`);
      }
    }),
    { numRuns: 100 },
  );
});

t.test('all rows in the order of the images', async () => {
  fc.assert(
    fc.property(randomEntries(), entries => {
      const { tree, model } = imageOf(entries);
      const due = [...walkOrder(model.root)].map(([path]) => tree.find(path));
      return [...inOrder(tree)].join() === due.join();
    }),
    { numRuns: 50 },
  );
});
