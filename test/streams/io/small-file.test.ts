import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readSmallFile } from '../../../streams/io/small-file.js';
import { makeFifo, openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { randomBytes } from '../../support/random.js';

t.test('a file and a FIFO are read to their end', async t => {
  const directory = temporaryDirectory(t);
  for (const size of [0, 1, 0xffff, 0x10000, 0x10001, 300_000]) {
    const content = randomBytes(size, size);
    const file = path.join(directory, 'file');
    fs.writeFileSync(file, content);
    t.ok((await readSmallFile(file)).equals(content));
    const fifo = path.join(directory, `fifo${size}`);
    makeFifo(fifo);
    const writing = fs.promises.writeFile(fifo, content);
    t.ok((await readSmallFile(fifo)).equals(content));
    await writing;
  }
  t.same(openBelow(directory), []);
});

t.test('what has no end, or too much, is refused without reading it all', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, Buffer.alloc(1001));
  t.equal((await readSmallFile(file, 1001)).length, 1001);
  await t.rejects(readSmallFile(file, 1000), { code: 'LIMIT', at: { file } });
  fs.truncateSync(file, 2 ** 40);
  await t.rejects(readSmallFile(file), { code: 'LIMIT', at: { file } });
  for (const other of ['/dev/zero', '/dev/null']) {
    await t.rejects(readSmallFile(other), { code: 'UNSUPPORTED', at: { file: other } });
  }
  await t.rejects(readSmallFile(directory), { code: 'EISDIR' });
  await t.rejects(readSmallFile(path.join(directory, 'none')), { code: 'ENOENT' });
  t.same(openBelow(directory), []);
});
