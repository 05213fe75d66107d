/** Every case of cases.json, run by our program: the bytes must be those of nydus-image. */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import t, { type Test } from 'tap';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { cli } from '../support/process/cli.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { dependencies, GoldenBench, readCases, type Case, type Need } from './cases.js';

const WIDTH = 2;

const has = (work: () => unknown): boolean => {
  try {
    work();
    return true;
  } catch {
    return false;
  }
};

const { exact } = await prepareCompressors();

/** Why a need is not met here; false where it is. */
const LACKS: Readonly<Record<Need, string | false>> = {
  root: !isRoot && 'needs root, to extract owners and devices',
  tar: !has(() => execFileSync('tar', ['--version'])) && 'needs GNU tar',
  xattr:
    !has(() => createRequire(import.meta.url)('@napi-rs/xattr')) &&
    'needs @napi-rs/xattr, to read attributes of files',
  zstd: !exact && 'needs zstd-napi: another zstd makes other bytes',
};

const cases = readCases();
const byId = new Map(cases.map(one => [one.id, one]));

t.test('the cases are whole', t => {
  t.ok(cases.length >= 200, `${cases.length} cases`);
  t.equal(byId.size, cases.length, 'no id is there twice');
  for (const one of cases) {
    t.same(
      dependencies(one).filter(id => !byId.has(id)),
      [],
      `${one.id}: what it needs is there`,
    );
    if (one.expect === 'same') t.ok(one.files && one.stdout !== undefined, `${one.id}: an answer`);
    if (one.expect === 'fails') t.ok(one.exit, `${one.id}: an exit status`);
  }
  t.end();
});

/** Lets only so many run at once. */
const limited = (width: number) => {
  let free = width;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (free === 0) await new Promise<void>(resolve => waiting.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
};

t.test('what nydus-image made', async t => {
  const bench = new GoldenBench(temporaryDirectory(t));
  const oneOf = limited(WIDTH);
  const runs = new Map<string, Promise<ReturnType<GoldenBench['outcome']> | string>>();

  /** Runs a case once, after those it needs; a text says why it cannot be run. */
  const run = (one: Case): Promise<ReturnType<GoldenBench['outcome']> | string> => {
    let under = runs.get(one.id);
    if (!under) runs.set(one.id, (under = runNow(one)));
    return under;
  };
  const runNow = async (one: Case) => {
    const lack = one.needs?.map(need => LACKS[need]).find(text => text !== false);
    if (lack) return lack;
    for (const id of dependencies(one)) {
      const outcome = await run(byId.get(id)!);
      if (typeof outcome === 'string') return `${id} ${outcome}`;
    }
    return oneOf(async () => {
      const argv = bench.prepare(one);
      const ran = await cli(argv, { cwd: bench.folder(one.id), stdin: one.stdin ?? '' });
      return bench.outcome(one, ran);
    });
  };

  for (const one of cases) void run(one).catch(() => undefined); // awaited below
  for (const one of cases) {
    await t.test(one.id, async (t: Test) => {
      const outcome = await run(one);
      if (typeof outcome === 'string') t.plan(0, outcome);
      else compare(t, one, outcome);
    });
  }
});

const compare = (t: Test, one: Case, outcome: ReturnType<GoldenBench['outcome']>): void => {
  if (one.expect === 'fails') {
    t.equal(outcome.exit, one.exit, 'exit status');
    t.match(outcome.stderr, /\S/, 'says why');
    t.same(outcome.files, {}, 'leaves nothing');
    return;
  }
  t.match(outcome, { exit: 0 }, 'succeeds');
  if (one.expect === 'succeeds') return;
  t.equal(outcome.stdout, one.stdout, 'stdout');
  t.same(outcome.files, one.files, 'files');
};
