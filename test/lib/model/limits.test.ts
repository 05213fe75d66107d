import { spawnSync } from 'node:child_process';
import t from 'tap';
import { MAX_NAME, MAX_PATH } from '../../../lib/model/limits.js';

const getconf = (name: string): number =>
  Number(spawnSync('getconf', [name, '/'], { encoding: 'utf8' }).stdout);
const skip = process.platform !== 'linux' || getconf('NAME_MAX') === 0;

t.test('limits are those of this Linux', { skip: skip && 'no getconf of Linux' }, async t => {
  t.equal(MAX_NAME, getconf('NAME_MAX'));
  t.equal(MAX_PATH, getconf('PATH_MAX') - 1, 'without the NUL');
});
