import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { wordyBytes } from '../support/random.js';
import { tarOf } from '../support/tar/tar.js';

const PROGRAM = fileURLToPath(new URL('../../bin/rafs-stream.js', import.meta.url));
const QUIET = ['--log-level', 'error'];

/** Other runtimes than Node, and how they run a program that may read and write. */
const RUNTIMES = { bun: ['bun'], deno: ['deno', 'run', '--allow-all'] } as const;

/** What tap sets would make the runtimes load its modules. */
const { NODE_OPTIONS: _, ...env } = process.env;

const run = (runtime: readonly string[], argv: readonly string[], input?: Buffer): Buffer => {
  const [command, ...before] = runtime;
  const { stdout, stderr, status } = spawnSync(command!, [...before, PROGRAM, ...argv], {
    env,
    maxBuffer: 0x4000000,
    ...(input && { input }),
  });
  t.same([status, stderr.toString()], [0, ''], [command, ...argv.slice(0, 1)].join(' '));
  return stdout;
};

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  const isThere = spawnSync(runtime[0], ['--version']).status === 0;
  const skip = isThere ? false : `${name} is not installed`;
  t.test(`${name} makes, checks and unpacks the bytes that Node does`, { skip }, async t => {
    const directory = t.testdir();
    const at = (file: string): string => path.join(directory, file);
    // more than a pipe holds, and enough for threads
    const tar = tarOf(
      Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, content: wordyBytes(200_000, i) })),
    );
    const made = run([process.execPath], QUIET, tar);
    t.ok(run(runtime, QUIET, tar).equals(made), 'the blob from a pipe into a pipe');
    writeFileSync(at('layer.tar'), tar);
    mkdirSync(at('out'));
    const create = ['create', '-t', 'tar-rafs', '--blob-inline-meta', '--blob', at('blob')];
    const blobs = [[process.execPath], runtime].map(one => {
      run(one, [...create, ...QUIET, at('layer.tar')]);
      return readFileSync(at('blob'));
    });
    t.ok(blobs[0]!.equals(blobs[1]!), 'the blob from a file into a file');
    run(runtime, ['check', ...QUIET, at('blob')]);
    const tars = [[process.execPath], runtime].map((one, i) => {
      run(one, ['unpack', ...QUIET, '--output', at(`${i}.tar`), at('blob')]);
      return readFileSync(at(`${i}.tar`));
    });
    t.ok(tars[0]!.equals(tars[1]!), 'the tar');
  });
}
