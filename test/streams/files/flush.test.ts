import path from 'node:path';
import t from 'tap';
import { flushDirectory, flushDirectorySync } from '../../../streams/files/flush.js';
import { temporaryDirectory } from '../../support/process/fs.js';

t.test('directories are flushed; one that is not there is a failure', async t => {
  const folder = temporaryDirectory(t);
  await flushDirectory(folder);
  flushDirectorySync(folder);
  const missing = path.join(folder, 'missing');
  await t.rejects(flushDirectory(missing), { code: 'ENOENT' });
  t.throws(() => flushDirectorySync(missing), { code: 'ENOENT' });
});

t.test('what cannot be flushed is left alone', async () => {
  await flushDirectory('/proc');
  flushDirectorySync('/proc');
});
