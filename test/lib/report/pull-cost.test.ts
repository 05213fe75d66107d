import t from 'tap';
import { pullCosts } from '../../../lib/report/pull-cost.js';

const chunk = (place: string, content: string, stored: number) => ({
  ...{ place, content, stored },
  ...{ blobIndex: 0, size: 2 * stored },
});

t.test('a node fetches what lies in other blobs, though it may know the content', async t => {
  const one = [chunk('a/0', 'x', 10), chunk('a/1', 'y', 20)];
  const two = [chunk('a/0', 'x', 10), chunk('b/0', 'y', 21), chunk('b/1', '', 5)];
  t.strictSame(pullCosts([one, two]), [
    { from: 0, to: 1, chunks: 2, bytes: 26, known: { chunks: 1, bytes: 21 } },
    { from: 1, to: 0, chunks: 1, bytes: 20, known: { chunks: 1, bytes: 20 } },
  ]);
  t.strictSame(pullCosts([one]), []);
});
