import fs from 'node:fs';
import t from 'tap';
import { stageImage } from '../../../streams/rewrite/staged-image.js';
import { temporaryDirectory } from '../../support/process/fs.js';

const context = () => ({
  log: { error() {}, warn() {}, info() {}, debug() {}, trace() {} },
  signal: new AbortController().signal,
});

t.test('work is done in a folder of its own, and nothing of it is left', async t => {
  const directory = temporaryDirectory(t);
  const result = await stageImage(directory, context(), async () => {
    t.equal(fs.readdirSync(directory).length, 1);
    return 5;
  });
  t.equal(result, 5);
  t.same(fs.readdirSync(directory), []);
});

t.test('also if the work fails', async t => {
  const directory = temporaryDirectory(t);
  const failing = stageImage(directory, context(), () => Promise.reject(new Error('no')));
  await t.rejects(failing, { message: 'no' });
  t.same(fs.readdirSync(directory), []);
});
