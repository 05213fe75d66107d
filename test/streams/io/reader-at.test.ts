import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readerOf, openReaderAt } from '../../../streams/io/reader-at.js';
import { makeFifo, openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { failureOf } from '../../support/images/golden.js';
import { randomBytes } from '../../support/random.js';

const CONTENT = randomBytes(5000, 1);

t.test('a file, bytes in memory and a FIFO read alike', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  const fifo = path.join(directory, 'fifo');
  fs.writeFileSync(file, CONTENT);
  makeFifo(fifo);
  const writing = fs.promises.writeFile(fifo, CONTENT);
  for (const source of [
    await openReaderAt(file),
    readerOf(CONTENT, 'memory'),
    await openReaderAt(fifo),
  ]) {
    t.equal(source.size, 5000);
    t.ok((await source.read(0, 5000)).equals(CONTENT));
    t.ok((await source.read(1234, 77)).equals(CONTENT.subarray(1234, 1311)));
    t.equal((await source.read(5000, 0)).length, 0);
    for (const [offset, size] of [
      [4999, 2],
      [-1, 1],
      [2 ** 52, 1],
      [0, 2 ** 52],
    ] as const) {
      // prettier-ignore
      t.equal((await failureOf(source.read(offset, size)))?.code, 'CORRUPT');
    }
    await source.close();
  }
  await writing;
  t.strictSame(openBelow(directory), []);
});

t.test('a file that becomes shorter', async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, CONTENT);
  const source = await openReaderAt(file);
  fs.truncateSync(file, 100);
  t.match(await failureOf(source.read(50, 100)), { code: 'CORRUPT', at: { file } });
  await source.close();
});

t.test('no such file, and a directory', async t => {
  const directory = temporaryDirectory(t);
  await t.rejects(openReaderAt(path.join(directory, 'none')), { code: 'ENOENT' });
  await t.rejects(openReaderAt(directory), { code: 'EISDIR' });
  t.strictSame(openBelow(directory), []);
});

t.test('a device is not read', async t => {
  for (const file of ['/dev/zero', '/dev/null']) {
    await t.rejects(openReaderAt(file), { code: 'UNSUPPORTED', at: { file } });
  }
});
