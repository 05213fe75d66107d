import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FileHash } from '../../../streams/threads/file-hash.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

const open = (t: Test, bytes: Buffer): { fd: number; directory: string } => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, bytes);
  return { fd: fs.openSync(file, 'r'), directory };
};

t.test('the sha256 of a file, here or in a thread', async t => {
  for (const size of [0, 1, 0x1fffff, 0x200000, 0x345678]) {
    const bytes = randomBytes(size);
    const { fd } = open(t, bytes);
    const hash = new FileHash({ fd, size });
    t.equal(await hash.digest, createHash('sha256').update(bytes).digest('hex'), `${size} bytes`);
    await hash.close();
    fs.closeSync(fd);
  }
});

t.test('only as much as was there, and an error where there is less', async t => {
  for (const size of [1000, 0x300000]) {
    const bytes = randomBytes(size);
    const { fd } = open(t, bytes);
    const part = new FileHash({ fd, size: size - 1 });
    const due = createHash('sha256').update(bytes.subarray(0, -1)).digest('hex');
    t.equal(await part.digest, due);
    const more = new FileHash({ fd, size: size + 1 });
    await t.rejects(more.digest, { code: 'CORRUPT' });
    await Promise.all([part.close(), more.close()]);
    fs.closeSync(fd);
  }
});

t.test("the system's error is told", async t => {
  const fd = fs.openSync('/', 'r');
  for (const size of [10, 0x300000]) {
    const hash = new FileHash({ fd, size });
    await t.rejects(hash.digest, { code: 'EISDIR' });
    await hash.close();
  }
  fs.closeSync(fd);
});

t.test('given up before it is done', async t => {
  const { fd, directory } = open(t, Buffer.alloc(60_000_000, 1));
  const hash = new FileHash({ fd, size: 60_000_000 });
  await hash.close();
  fs.closeSync(fd);
  await t.rejects(hash.digest, /given up/);
  t.same(openBelow(directory), []);
});
