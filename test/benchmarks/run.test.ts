/** The benchmark works: every form of source, on very small layers. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { median } from '../../benchmarks/measure.js';
import { temporaryDirectory } from '../support/fs.js';

const RUN = fileURLToPath(new URL('../../benchmarks/run.js', import.meta.url));
const skip = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

t.test('rows, without nydus-image', { skip }, t => {
  const output = path.join(temporaryDirectory(t), 'results.md');
  const env = { ...process.env, NYDUS_IMAGE: '', RAFS_BENCH_DEBIAN: '', RAFS_BENCH_KERNEL: '' };
  const scale = ['--runs', '1', '--scale', '0.002', '--output', output];
  for (const [only, forms] of [
    ['debian,zstd', ['tar', 'tar.gz', 'directory']],
    ['1g,lz4_block', ['fifo']],
  ] as const) {
    const ran = spawnSync(process.execPath, [RUN, '--only', only, ...scale], {
      env,
      encoding: 'utf8',
    });
    t.equal(ran.status, 0, ran.stderr);
    t.match(ran.stderr, /^skipped: nydus-image/m, 'says what is left out');
    const text = fs.readFileSync(output, 'utf8');
    t.equal(ran.stdout, text);
    const rows = text.split('\n').filter(line => /^\| (debian|1g) /.test(line));
    t.same(
      rows.map(row => row.split(' | ')[1]),
      forms,
    );
    for (const row of rows) {
      const cells = row.slice(2, -2).split(' | ');
      const rss = Number(cells[9]);
      t.ok(Number(cells[4]) > 0 && rss > 10, `${cells[4]} s, ${rss} MiB`);
    }
  }
  t.end();
});

t.test('a wrong option', t => {
  const ran = spawnSync(process.execPath, [RUN, '--runs', '0'], { encoding: 'utf8' });
  t.equal(ran.status, 2);
  t.match(ran.stderr, /^usage: npm run bench/);
  t.end();
});

t.test('medians', t => {
  const costs = [3, 1, 2].map(n => ({ wall: n, cpu: 10 - n, rss: 5 }));
  t.same(median(costs), { wall: 2, cpu: 8, rss: 5 });
  t.same(median(costs.slice(0, 2)), { wall: 1, cpu: 7, rss: 5 }, 'the lower of two');
  t.end();
});
