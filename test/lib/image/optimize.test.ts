import t from 'tap';
import { parsePrefetchFiles } from '../../../lib/image/optimize.js';

t.test('a list of files', async t => {
  const warnings: string[] = [];
  const read = (text: string) => parsePrefetchFiles(text, message => warnings.push(message));
  t.same(read(' \n'), []);
  const text =
    '{"version":"v1","files":[{"path":"/\u00e9","ranges":null},{"path":"b"},{"path":"/c","ranges":[[0,1]]}]}';
  t.same(read(text), [{ path: '/\u00c3\u00a9' }, { path: '/c', ranges: [[0, 1]] }]);
  t.match(warnings, [/^prefetch file b /]);
  const wrong = [
    'null',
    '[]',
    '{"version":1}',
    '{"version":"v1","files":{}}',
    '{"version":"v1","files":[1]}',
  ];
  const ranges = ['1', '[1]', '[[1]]', '[[0,-1]]', '[[0,1.5]]', '[[0,1e99]]', '[["0",1]]'];
  for (const range of ranges)
    wrong.push(`{"version":"v1","files":[{"path":"/a","ranges":${range}}]}`);
  for (let size = 1; size < text.length; size += 7) wrong.push(text.slice(0, size));
  for (const bad of wrong) {
    t.throws(
      () => read(bad),
      { code: 'UNSUPPORTED', message: /^failed to parse prefetch file/ },
      bad,
    );
  }
});
