/** What killed runs left is removed; what may still be written, and what is not ours, stays. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { removeLeftovers } from '../../../streams/files/leftovers.js';
import { ownMark, parseMark } from '../../../streams/files/process-mark.js';
import { openOutput } from '../../../streams/io/open-output.js';
import { temporaryDirectory } from '../../support/process/fs.js';

const { realm, pid, start } = parseMark(ownMark())!;
/** Of a process that cannot be: numbers have at most 22 bits. */
const KILLED = `.rafs-stream-${realm}-4194305-1-0123456789ab`;
const RUNNING = `.rafs-stream-${realm}-${pid}-${start}-0123456789ab`;
const ELSEWHERE = '.rafs-stream-ffffffff-1-1-0123456789ab';
const LONG_AGO = '.rafs-stream-ffffffff-1-2-0123456789ab';
const OTHERS = ['.rafs-stream-notes', 'layer.blob'];

const folderWith = (t: Parameters<typeof temporaryDirectory>[0]): string => {
  const folder = temporaryDirectory(t);
  for (const name of [KILLED, RUNNING, ELSEWHERE, LONG_AGO, ...OTHERS]) {
    fs.writeFileSync(path.join(folder, name), 'x');
  }
  fs.mkdirSync(path.join(folder, `${KILLED.slice(0, -1)}c`));
  fs.writeFileSync(path.join(folder, `${KILLED.slice(0, -1)}c`, 'blob'), 'x');
  const before = Date.now() / 1000 - 2 * 24 * 3600;
  fs.utimesSync(path.join(folder, LONG_AGO), before, before);
  return folder;
};

const STAYS = [...OTHERS, RUNNING, ELSEWHERE].sort();

t.test('files and folders of processes that have ended', async t => {
  const folder = folderWith(t);
  await removeLeftovers(folder);
  t.same(fs.readdirSync(folder).sort(), STAYS);
});

t.test('the next output in the directory removes them before it is written', async t => {
  const folder = folderWith(t);
  const output = await openOutput(path.join(folder, 'new'));
  t.equal(fs.readdirSync(folder).includes(KILLED), false);
  await output.finish();
  t.same(fs.readdirSync(folder).sort(), ['new', ...STAYS].sort());
});

t.test('a directory that is not there is no failure here', async () => {
  await removeLeftovers('/nowhere/at/all');
});
