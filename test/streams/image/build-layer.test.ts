import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { kindOf, releaseUnopened } from '../../../streams/image/build-layer.js';
import { makeFifo, temporaryDirectory } from '../../support/process/fs.js';

t.test('what a path leads to', async t => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  const file = path.join(directory, 'file');
  makeFifo(fifo);
  fs.writeFileSync(file, '');
  t.equal(kindOf(directory), 'directory');
  t.equal(kindOf(file), 'file');
  t.equal(kindOf(fifo), 'fifo');
  t.equal(kindOf('/dev/null'), 'char');
  t.throws(() => kindOf(path.join(directory, 'none')), { code: 'ENOENT' });
});

t.test('peers of FIFOs that are not opened see their end', async t => {
  const directory = temporaryDirectory(t);
  const [source, blob] = ['source', 'blob'].map(name => path.join(directory, name));
  makeFifo(source!);
  makeFifo(blob!);
  const writer = fs.promises.open(source!, 'w').then(handle => handle.close());
  const reader = fs.promises.readFile(blob!);
  await releaseUnopened([source!, blob!], source!);
  await writer;
  t.equal((await reader).length, 0);
});
