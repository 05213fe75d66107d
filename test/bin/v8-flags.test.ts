import { spawnSync } from 'node:child_process';
import t from 'tap';

const MODULE = new URL('../../bin/v8-flags.js', import.meta.url).href;
const FLAGS = [
  '--interrupt-budget=400000',
  '--interrupt-budget=67584',
  '--expose-gc',
  '--no-expose-gc',
  '--semi-space-growth-factor=1',
  '--semi-space-growth-factor=2',
  '--no-parallel-scavenge',
  '--parallel-scavenge',
];

t.test('V8 takes every flag that is set, without a word', async t => {
  const script = `import { setFlag } from '${MODULE}';
    console.log(JSON.stringify(${JSON.stringify(FLAGS)}.map(flag => setFlag(flag))));`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  t.equal(status, 0);
  t.equal(stderr, '', 'V8 complains here about flags that it does not have');
  const set = JSON.parse(stdout) as boolean[];
  t.same(set.slice(2), Array(6).fill(true), 'these exist in all Nodes that are supported');
});
