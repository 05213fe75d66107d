import path from 'node:path';
import t from 'tap';
import { isOwnTemporary, temporaryName } from '../../../streams/io/temporary-name.js';

t.test('in its directory, hidden, and never the same', t => {
  const names = Array.from({ length: 100 }, () => temporaryName('/some/where'));
  t.equal(new Set(names).size, 100);
  for (const name of names) {
    t.equal(path.dirname(name), '/some/where');
    t.ok(isOwnTemporary(path.basename(name)));
    t.match(path.basename(name), /^\.rafs-stream-[0-9a-f]{16}$/);
  }
  t.notOk(isOwnTemporary('.rafs-stream-0123456789abcdef'), 'of another process');
  t.end();
});
