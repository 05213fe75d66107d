import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import t from 'tap';
import { Spool } from '../../../streams/io/spool.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

const readAll = async (spool: Spool): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  for await (const bytes of spool.read()) pieces.push(bytes);
  return Buffer.concat(pieces);
};

t.test('all comes back, in memory or in a file that has no name', async t => {
  for (const memory of [0, 1, 3000, 100_000, 10_000_000]) {
    const directory = temporaryDirectory(t);
    const spool = new Spool(directory, memory);
    const written: Buffer[] = [];
    for (let i = 0; i < 100; i++) {
      const buffers = [randomBytes(i * 7), randomBytes(4096), Buffer.alloc(0)];
      written.push(...buffers.map(buffer => Buffer.from(buffer)));
      await spool.write(buffers);
    }
    t.same(fs.readdirSync(directory), [], 'no name is left');
    t.equal(openBelow(directory).length, memory > 1_000_000 ? 0 : 1, `${memory} bytes held`);
    t.ok((await readAll(spool)).equals(Buffer.concat(written)));
    await spool.close();
    t.equal(openBelow(directory).length, 0);
  }
});

t.test("an empty one is empty; a directory that is not there is the system's error", async t => {
  const spool = new Spool(temporaryDirectory(t), 10);
  t.equal((await readAll(spool)).length, 0);
  await spool.close();
  const lost = new Spool('/nowhere/at/all', 10);
  await t.rejects(lost.write([Buffer.alloc(11)]), { code: 'ENOENT' });
  await lost.close();
});
