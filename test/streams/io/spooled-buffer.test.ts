import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import t from 'tap';
import { SpooledBuffer } from '../../../streams/io/spooled-buffer.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

const PIECES = Array.from({ length: 50 }, (_, i) => randomBytes(i * 11));
const ALL = Buffer.concat(PIECES);

t.test('any part of it comes back, from memory or from a file that has no name', t => {
  for (const limit of [0, 1, 5000, ALL.length - 1, ALL.length]) {
    const directory = temporaryDirectory(t);
    const spool = new SpooledBuffer(directory, limit);
    for (const bytes of PIECES) spool.add(bytes);
    t.equal(spool.size, ALL.length);
    t.same(fs.readdirSync(directory), [], 'no name is left');
    const held = limit === ALL.length;
    t.equal(openBelow(directory).length, held ? 0 : 1, `${limit} bytes held`);
    for (const [at, size] of [
      [0, 1],
      [777, 3000],
      [ALL.length - 5, 5],
      [0, ALL.length],
    ] as const) {
      t.ok(spool.view(at, size).equals(ALL.subarray(at, at + size)));
    }
    const behind = spool.behind(Buffer.from('head'));
    if (held) t.ok(behind!.equals(Buffer.concat([Buffer.from('head'), ALL])));
    else t.equal(behind, undefined);
    spool.close();
    spool.close();
    t.equal(openBelow(directory).length, 0);
  }
  t.end();
});

t.test("a directory that is not there is the system's error", t => {
  const lost = new SpooledBuffer('/nowhere/at/all', 10);
  lost.add(Buffer.alloc(10));
  t.throws(() => lost.add(Buffer.alloc(1)), { code: 'ENOENT' });
  lost.close();
  t.end();
});
