import path from 'node:path';
import t from 'tap';
import { isOwnTemporary, makerOf, temporaryName } from '../../../streams/files/temporary-name.js';

t.test('in its directory, hidden, and never the same', t => {
  const names = Array.from({ length: 100 }, () => temporaryName('/some/where'));
  t.equal(new Set(names).size, 100);
  for (const name of names) {
    t.equal(path.dirname(name), '/some/where');
    t.ok(isOwnTemporary(path.basename(name)));
    t.match(path.basename(name), /^\.rafs-stream-[0-9a-f]{8}-[0-9]+-[0-9]+-[0-9a-f]{12}$/);
  }
  t.end();
});

t.test('the name tells who made it, and no other name does', t => {
  t.equal(makerOf(path.basename(temporaryName('/x')))?.pid, process.pid);
  for (const name of [
    'layer.blob',
    '.rafs-stream-',
    '.rafs-stream-0123456789abcdef',
    '.rafs-stream-01234567-1-2',
    '.rafs-stream-01234567-1-2-0123456789abX',
    '.rafs-stream-01234567-x-2-0123456789ab',
    'x.rafs-stream-01234567-1-2-0123456789ab',
  ]) {
    t.equal(makerOf(name), undefined, name);
  }
  t.notOk(isOwnTemporary('.rafs-stream-01234567-1-2-0123456789ab'), 'of another process');
  t.end();
});
