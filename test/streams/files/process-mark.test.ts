import { spawn } from 'node:child_process';
import fs from 'node:fs';
import t from 'tap';
import {
  hasEnded,
  ownMark,
  parseMark,
  type ProcessMark,
} from '../../../streams/files/process-mark.js';

const own = parseMark(ownMark())!;

t.test('a process that runs has not ended, and one that was killed has', async t => {
  t.equal(own.pid, process.pid);
  t.equal(hasEnded(own), false);
  const child = spawn('sleep', ['60']);
  const mark: ProcessMark = { ...own, pid: child.pid!, start: '0' };
  t.equal(hasEnded(mark), false);
  child.kill('SIGKILL');
  await new Promise(resolve => child.once('exit', resolve));
  t.equal(hasEnded(mark), true);
});

const withoutStarts = !fs.existsSync('/proc/self/stat') && 'no /proc here';
t.test('a number that is used again is another process', { skip: withoutStarts }, async t => {
  t.not(own.start, '0');
  t.equal(hasEnded({ ...own, start: '1' }), true);
});

t.test('nobody here knows processes of another machine or container', async t => {
  t.equal(
    hasEnded({ ...own, realm: own.realm === '00000000' ? '11111111' : '00000000' }),
    undefined,
  );
});

t.test('what is no mark', async t => {
  for (const text of ['', 'x', '0123456-1-1', '01234567-1', '01234567-1-1-', '01234567--1-1']) {
    t.equal(parseMark(text), undefined, text);
  }
});
