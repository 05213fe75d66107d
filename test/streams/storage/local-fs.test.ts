import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { localFs } from '../../../streams/storage/local-fs.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';

t.test('the first file that is not empty', async t => {
  const directory = temporaryDirectory(t);
  const at = (...names: string[]): string => path.join(directory, ...names);
  for (const name of ['a', 'b', 'c']) fs.mkdirSync(at(name));
  fs.writeFileSync(at('a', 'empty'), '');
  fs.writeFileSync(at('b', 'empty'), '');
  fs.writeFileSync(at('c', 'empty'), 'c');
  fs.writeFileSync(at('a', 'both'), 'a');
  fs.writeFileSync(at('c', 'both'), 'c');
  fs.writeFileSync(at('a', 'é'), 'accent');
  const storage = localFs({
    type: 'localfs',
    blobFile: '',
    dir: at('a'),
    altDirs: [at('b'), at('none'), at('c')],
  });
  const read = async (id: string): Promise<string> => {
    const source = await storage.open(id);
    const text = (await source.read(0, source.size)).toString();
    await source.close();
    return text;
  };
  t.equal(await read('empty'), 'c');
  t.equal(await read('both'), 'a');
  t.equal(await read(Buffer.from('é').toString('latin1')), 'accent', 'ids are bytes');
  await t.rejects(read('nowhere'), { code: 'ENOENT', path: at('a', 'nowhere') });
  t.strictSame(openBelow(directory), []);
});

t.test('one file for all', async t => {
  const file = path.join(temporaryDirectory(t), 'blob');
  fs.writeFileSync(file, 'bytes');
  const storage = localFs({ type: 'localfs', blobFile: file, dir: '/none', altDirs: [] });
  const source = await storage.open('any');
  t.equal(source.size, 5);
  await source.close();
});
