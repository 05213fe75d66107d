import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { newPath, refuseSameFile } from '../../../streams/files/same-file.js';
import { makeFifo, temporaryDirectory } from '../../support/process/fs.js';

t.test('one file under several names', t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => `${directory}/${name}`;
  fs.mkdirSync(at('sub'));
  for (const name of ['file', 'other']) fs.writeFileSync(at(name), '');
  fs.symlinkSync('file', at('soft'));
  fs.linkSync(at('file'), at('hard'));
  fs.symlinkSync('new', at('dangling'));
  fs.symlinkSync('.', at('loop'));
  makeFifo(at('fifo'));
  const outputs = (...paths: string[]) => paths.map((path, i) => ({ name: `output ${i}`, path }));
  const same: [string, string][] = [
    [at('file'), at('file')],
    [at('file'), at('./sub/../file')],
    [at('file'), path.relative('.', at('file'))],
    [at('file'), at('soft')],
    [at('soft'), at('hard')],
    [at('new'), at('new')],
    [at('new'), at('sub/../new')],
    [at('new'), at('dangling')],
    [at('new'), at('loop/new')],
    [at('fifo'), at('fifo')],
  ];
  for (const [a, b] of same) {
    const label = `${path.basename(a)} and ${b}`;
    t.throws(
      () => refuseSameFile(outputs(a, b)),
      { code: 'USAGE', message: /output 0 and/ },
      label,
    );
    const inputs = [{ name: 'SOURCE', path: b }];
    const message = 'SOURCE is read and output 0 is written, but they are the same file';
    t.throws(() => refuseSameFile(outputs(a), inputs), { code: 'USAGE', message }, label);
  }
  refuseSameFile(outputs(at('file'), at('other'), at('new'), at('newer'), at('fifo')));
  refuseSameFile(outputs('/dev/null', '/dev/null'), [{ name: 'SOURCE', path: '/dev/null' }]);
  refuseSameFile(outputs(at('none/a')), [{ name: 'SOURCE', path: at('sub') }]);
  refuseSameFile([], [...outputs(at('file'), at('file'))]);
  t.equal(newPath(at('dangling')), at('new'));
  t.equal(newPath(at('none/x')), at('none/x'));
  t.end();
});
