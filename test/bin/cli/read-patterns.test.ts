import t from 'tap';
import { readPatterns } from '../../../bin/cli/read-patterns.js';
import { cli } from '../../support/process/cli.js';
import { goldenPath } from '../../support/images/golden.js';
import { temporaryDirectory } from '../../support/process/fs.js';

t.test('nothing is read where no patterns are wanted', async t => {
  t.same(await readPatterns('none'), { patterns: [], warnings: [] });
  // left open: who reads it waits for ever
  const out = temporaryDirectory(t);
  const argv = ['merge', '-B', `${out}/boot`, goldenPath('layer.layer-0.v6')];
  t.equal((await cli(argv, { stdin: undefined, timeoutMs: 30_000 })).exit, 0);
});

for (const policy of ['fs', 'blob']) {
  t.test(`policy ${policy} reads them before anything else is looked at`, async t => {
    const argv = ['merge', '--prefetch-policy', policy, '-l', 'warn', '/none'];
    const ran = await cli(argv, { stdin: 'x\n/a\n' });
    t.equal(ran.exit, 1);
    t.match(ran.stderr, /Illegal file path x specified[^\n]*\nError: both --bootstrap/);
  });
}
