import t from 'tap';
import { FILE_KINDS, fileKind } from '../../../lib/report/file-kinds.js';

t.test('a file is of the kind that its name says', async t => {
  const kindOf = (name: string): string => FILE_KINDS[fileKind(name)]!;
  t.equal(kindOf('main.C'), 'code');
  t.equal(kindOf('libssl.so.3'), 'compiled code');
  t.equal(kindOf('libz.so.1.2.13'), 'compiled code');
  t.equal(kindOf('man.1.gz'), 'archives and compressed');
  t.equal(kindOf('bash'), 'programs and others');
  t.equal(kindOf('.json'), 'programs and others', 'a dot in front begins a name');
  t.equal(kindOf('x.constructor'), 'programs and others');
});
