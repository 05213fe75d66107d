/** The benchmark works: every form of source, on very small layers. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { median } from '../../benchmarks/measure.js';
import { temporaryDirectory } from '../support/process/fs.js';

const RUN = fileURLToPath(new URL('../../benchmarks/run.js', import.meta.url));
const skip = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

const ALONE = {
  ...{ NYDUS_IMAGE: '', MKFS_EROFS: '/nonexistent' },
  ...{ RAFS_BENCH_DEBIAN: '', RAFS_BENCH_KERNEL: '' },
};

t.test('rows, without peers', { skip }, t => {
  const directory = temporaryDirectory(t);
  const output = path.join(directory, 'results.md');
  const plot = path.join(directory, 'plot.svg');
  const env = { ...process.env, ...ALONE };
  const scale = ['--runs', '1', '--scale', '0.002', '--output', output, '--plot', plot];
  for (const [only, forms] of [
    ['debian,zstd', ['tar', 'tar.gz', 'directory', 'tar']],
    ['debian,tarfs', ['tar', 'tar']],
    ['debian,tar.gz', ['tar.gz', 'tar.gz', 'tar.gz', 'tar.gz']],
    ['debian,export', ['tar', 'tar', 'tar']],
    ['debian,unpack', ['tar']],
    ['1g,zstd', ['fifo']],
    ['million,check', ['tar']],
    ['merge', ['']],
    ['ten,version', ['']],
  ] as const) {
    const ran = spawnSync(process.execPath, [RUN, '--only', only, ...scale], {
      env,
      encoding: 'utf8',
    });
    t.equal(ran.status, 0, ran.stderr);
    t.match(ran.stderr, /^skipped: nydus-image/m, 'says what is left out');
    const text = fs.readFileSync(output, 'utf8');
    t.equal(ran.stdout, text);
    const rows = text.split('\n').filter(line => /^\| (ten|debian|kernel|million|1g) /.test(line));
    t.same(
      rows.map(row => row.split(' | ')[1]),
      forms,
    );
    for (const row of rows) {
      const cells = row.slice(2, -2).split(' | ');
      const rss = Number(cells[12]);
      t.ok(Number(cells[5]) > 0 && rss > 10, `${cells[5]} s, ${rss} MiB`);
    }
    const drawn = fs.readFileSync(plot, 'utf8').includes('<circle ');
    t.equal(drawn, only === '1g,zstd', 'a plot of what was measured');
  }
  t.end();
});

t.test('a row for each Node that is asked for', { skip }, t => {
  const work = temporaryDirectory(t);
  for (const version of ['one', 'two']) {
    const bin = path.join(work, 'nodes', version, 'node_modules/node/bin');
    fs.mkdirSync(bin, { recursive: true });
    fs.symlinkSync(process.execPath, path.join(bin, 'node')); // instead of what npm would install
  }
  const argv = ['--only', 'ten,zstd', '--runs', '1', '--nodes', 'one,two', '--work', work];
  const { stdout, stderr, status } = spawnSync(process.execPath, [RUN, ...argv], {
    env: { ...process.env, ...ALONE },
    encoding: 'utf8',
  });
  t.equal(status, 0, stderr);
  const rows = stdout.split('\n').filter(line => line.startsWith('| ten '));
  t.same(
    rows.map(row => row.split(' | ')[3]),
    [process.version, process.version],
  );
  t.end();
});

t.test('a row beside a peer', { skip }, t => {
  const peer = fileURLToPath(new URL('../../bin/rafs-stream.js', import.meta.url));
  const env = { ...process.env, ...ALONE, NYDUS_IMAGE: peer };
  const ran = spawnSync(
    process.execPath,
    [RUN, '--only', 'debian,export,verity', '--runs', '1', '--scale', '0.002'],
    { env, encoding: 'utf8' },
  );
  t.equal(ran.status, 0, ran.stderr);
  t.match(ran.stdout, /^\| debian \| tar \| export, verity \| .*nydus-image.* \| yes \| 1 \|$/m);
  t.end();
});

t.test('a peer that fails is left out of the row', { skip }, t => {
  const peer = path.join(temporaryDirectory(t), 'peer');
  fs.writeFileSync(peer, '#!/bin/sh\n[ "$1" = --version ] && echo Version: v0\n', { mode: 0o755 });
  const ran = spawnSync(
    process.execPath,
    [RUN, '--only', 'debian,unpack', '--runs', '2', '--scale', '0.002'],
    { env: { ...process.env, ...ALONE, NYDUS_IMAGE: peer }, encoding: 'utf8' },
  );
  t.equal(ran.status, 0, ran.stderr);
  t.match(ran.stdout, /^- skipped: debian tar unpack: nydus-image failed$/m);
  t.match(ran.stdout, /^\| debian \| tar \| unpack \| v[\d.]+ \|[^a-z]*$/m, 'a row without a peer');
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
