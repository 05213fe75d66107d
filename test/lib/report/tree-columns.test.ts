import t from 'tap';
import { TreeColumns } from '../../../lib/report/tree-columns.js';

t.test('names, places and sizes of rows', async t => {
  const rows = new TreeColumns();
  rows.add({ name: '', depth: 0, type: 'directory', size: 5, stored: 5 });
  rows.add({ name: 'ä'.repeat(2), depth: 1, type: 'file', size: 300, stored: 2 ** 40 });
  rows.add({ name: 'b', depth: 1, type: 'symlink', size: 9, stored: 0 });
  rows.add({ name: 'c', depth: 40, type: 'other', size: 0, stored: 0 });
  const { names, columns } = rows.finish();
  t.equal(names, 4);
  t.strictSame(
    columns.map(column => column.toString('hex')),
    [
      '00e4e40062006300', // latin1 strings hold bytes
      '000506a301',
      'ac02', // LEB128: 300
      '808080808020',
    ],
  );
});

t.test('many rows', async t => {
  const rows = new TreeColumns();
  for (let i = 0; i < 10_000; i++) {
    rows.add({ name: `${i}`, depth: 1, type: 'file', size: i, stored: 2 ** 53 - 1 - i });
  }
  const { names, columns } = rows.finish();
  t.equal(names, 10_000);
  t.equal(columns[0]!.toString().split('\0')[9999], '9999');
  t.equal(columns[3]!.length, 80_000, 'eight bytes for 53 bits');
});
