/** Memory does not grow with a layer, but for its metadata. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { CLI, PLAIN } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';

const MAKE_LAYER = fileURLToPath(new URL('../../benchmarks/make-layer.js', import.meta.url));

const skip = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

/** Of these no more is kept than what is in flight; of many files also what the bootstrap has of them. */
const LAYERS: readonly [name: string, scale: number, compressor: string, boundMib: number][] = [
  ['1g', 0.3, 'zstd', 160],
  ['1g', 0.3, 'none', 160],
  ['kernel', 0.2, 'zstd', 160],
  ['million', 0.05, 'lz4_block', 256],
];

/** Peak of a line of shell, in which `$figures` is where GNU time is to say it. */
const peakMib = async (t: Test, line: string, env: Record<string, string>): Promise<number> => {
  const figures = path.join(temporaryDirectory(t), 'figures');
  const [program, ...before] = PLAIN;
  const child = spawn(program, [...before, 'sh', '-c', line], {
    stdio: 'ignore',
    env: { ...process.env, ...env, figures, node: process.execPath, make: MAKE_LAYER, cli: CLI },
  });
  t.teardown(() => child.kill());
  t.equal(await new Promise(resolve => child.once('close', resolve)), 0, 'succeeds');
  return Number(fs.readFileSync(figures, 'utf8')) / 1024;
};

const TIMED = 'time -f %M -o "$figures" "$node" "$cli"';

/** Layers that stay as they are: of a gzip its contexts are kept, 3 % of what it expands to. */
t.test('a gzip that is referred to, and a tar that is mapped', { skip }, async t => {
  const out = temporaryDirectory(t);
  for (const [type, filter, boundMib] of [
    ['targz-ref', 'gzip -1', 160],
    ['tar-tarfs', 'cat', 140],
  ] as const) {
    const line =
      `"$node" "$make" 1g 0.3 | ${filter} | ` +
      `${TIMED} create -t ${type} -B "$out/boot" -D "$out" -l error -`;
    const peak = await peakMib(t, line, { out });
    t.ok(peak > 0 && peak <= boundMib, `${type}: ${peak.toFixed(0)} MiB, bound ${boundMib}`);
  }
});

for (const [name, scale, compressor, boundMib] of LAYERS) {
  t.test(`${name} × ${scale}, ${compressor}`, { skip }, async t => {
    const line = `"$node" "$make" ${name} ${scale} | ${TIMED} --compressor ${compressor} > /dev/null`;
    const peak = await peakMib(t, line, {});
    t.ok(peak > 0 && peak <= boundMib, `${peak.toFixed(0)} MiB at most, bound ${boundMib}`);
  });
}
