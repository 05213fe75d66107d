/** Memory does not grow with a layer, but for its metadata. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { CLI, PLAIN } from '../support/cli.js';
import { temporaryDirectory } from '../support/fs.js';

const MAKE_LAYER = fileURLToPath(new URL('../../benchmarks/make-layer.js', import.meta.url));

const skip = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

/** Of these no more is kept than what is in flight; of many files also what the bootstrap has of them. */
const LAYERS: readonly [name: string, scale: number, compressor: string, boundMib: number][] = [
  ['1g', 0.3, 'zstd', 160],
  ['1g', 0.3, 'none', 160],
  ['kernel', 0.2, 'zstd', 160],
  ['million', 0.05, 'lz4_block', 256],
];

for (const [name, scale, compressor, boundMib] of LAYERS) {
  t.test(`${name} × ${scale}, ${compressor}`, { skip }, async t => {
    const figures = path.join(temporaryDirectory(t), 'figures');
    const line = '"$1" "$2" "$3" "$4" | time -f %M -o "$5" "$1" "$6" --compressor "$7" > /dev/null';
    const argv = [process.execPath, MAKE_LAYER, name, String(scale), figures, CLI, compressor];
    const [program, ...before] = PLAIN;
    const shell = [...before, 'sh', '-c', line, 'sh', ...argv];
    const child = spawn(program, shell, { stdio: 'ignore' });
    t.teardown(() => child.kill());
    t.equal(await new Promise(resolve => child.once('close', resolve)), 0, 'succeeds');
    const peak = Number(fs.readFileSync(figures, 'utf8')) / 1024;
    t.ok(peak > 0 && peak <= boundMib, `${peak.toFixed(0)} MiB at most, bound ${boundMib}`);
  });
}
