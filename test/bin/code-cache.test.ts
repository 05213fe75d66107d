import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';

const MODULE = new URL('../../bin/code-cache.js', import.meta.url).href;

/** A bundle that says a word and ends with a status; bundles of equal length differ in the word. */
const bundleOf = (word: string, status = 0): string =>
  `// 0123456789abcdef0123456789abcdef\nconsole.log('${word}'); process.exitCode = ${status};`;

/** A directory with a bundle, and a function that runs it. */
const setUp = (t: Test, text: string) => {
  const directory = t.testdir({
    'main.js': text,
    'package.json': '{"type":"commonjs"}',
    'run.mjs': `import { runBundle } from '${MODULE}';
      runBundle(import.meta.dirname + '/main.js', process.argv.slice(2));`,
    home: {},
  });
  const bundle = path.join(directory, 'main.js');
  const cache = path.join(directory, 'cache');
  const home = path.join(directory, 'home');
  const run = (argv: readonly string[] = ['create'], env: NodeJS.ProcessEnv = {}): string => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [path.join(directory, 'run.mjs'), ...argv],
      { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: home, ...env } },
    );
    t.equal(stderr, '');
    return stdout.trim();
  };
  const kept = (place = cache): string[] => (existsSync(place) ? readdirSync(place) : []);
  return { directory, bundle, cache, home, run, kept };
};

t.test('code is kept, and taken the next time', async t => {
  const { bundle, run, kept } = setUp(t, bundleOf('first'));
  t.equal(run(), 'first');
  t.equal(kept().length, 1, 'one file');
  t.match(kept()[0], `${process.version}-${process.arch}-0123456789abcdef-create`);
  // V8 knows a source by its length alone: if the kept code runs, it says what it did before
  writeFileSync(bundle, bundleOf('other'));
  t.equal(run(), 'first', 'the kept code ran');
  t.equal(kept().length, 1);
  t.equal(run(['create', '--type', 'targz-ref']), 'other', 'another kind has code of its own');
  t.equal(run(['create', '--type=targz-ref']), 'other');
  t.match(kept().sort()[1], /-create-targz-ref/);
  t.equal(kept().length, 2);
});

t.test('another build has code of its own', async t => {
  const { bundle, run } = setUp(t, bundleOf('first'));
  run();
  writeFileSync(bundle, bundleOf('other').replace('0123', '3210'));
  t.equal(run(), 'other');
});

t.test('code that is damaged is compiled again', async t => {
  const { bundle, cache, run, kept } = setUp(t, bundleOf('first'));
  run();
  const file = path.join(cache, kept()[0]!);
  const bytes = readFileSync(file);
  bytes[bytes.length - 20]! ^= 1;
  for (const damaged of [bytes, bytes.subarray(0, 100), Buffer.alloc(0), Buffer.alloc(4000)]) {
    writeFileSync(bundle, bundleOf('first'));
    writeFileSync(file, damaged);
    t.equal(run(), 'first');
    writeFileSync(bundle, bundleOf('other'));
    t.equal(run(), 'first', 'it was kept again');
  }
});

t.test('code that others could have written is not run', async t => {
  const { bundle, cache, run, kept } = setUp(t, bundleOf('first'));
  run();
  writeFileSync(bundle, bundleOf('other'));
  chmodSync(path.join(cache, kept()[0]!), 0o666);
  t.equal(run(), 'other');
});

t.test('where the package cannot be written to, code is kept in the cache of the user', async t => {
  const { directory, bundle, home, run, kept } = setUp(t, bundleOf('first'));
  writeFileSync(path.join(directory, 'cache'), 'in the way');
  t.equal(run(), 'first');
  t.equal(kept(path.join(home, '.cache/rafs-stream')).length, 1);
  writeFileSync(bundle, bundleOf('other'));
  t.equal(run(), 'first', 'the kept code ran');
  const elsewhere = path.join(directory, 'elsewhere');
  t.equal(run(['create'], { XDG_CACHE_HOME: elsewhere }), 'other');
  t.equal(kept(path.join(elsewhere, 'rafs-stream')).length, 1);
});

t.test('without a place to keep code, all goes well', async t => {
  const { directory, run } = setUp(t, bundleOf('first'));
  writeFileSync(path.join(directory, 'cache'), 'in the way');
  const before = readdirSync(directory).sort();
  for (const HOME of [undefined, '/dev/null', 'relative', '/proc']) {
    t.equal(run(['create'], { HOME }), 'first');
  }
  t.same(readdirSync(directory).sort(), before, 'and nothing is left behind');
});

t.test('code is not kept by a command that fails, nor when Node is told to keep none', async t => {
  const failing = setUp(t, bundleOf('first', 1));
  failing.run();
  t.same(failing.kept(), []);
  const { run, kept } = setUp(t, bundleOf('first'));
  run(['create'], { NODE_DISABLE_COMPILE_CACHE: '1' });
  t.same(kept(), []);
});

t.test('help does not count as the command', async t => {
  const { run, kept } = setUp(t, bundleOf('first'));
  run(['create', '--help']);
  t.match(kept()[0], /-help/);
});

t.test('the oldest files are removed when there are many', async t => {
  const { cache, run, kept } = setUp(t, bundleOf('first'));
  mkdirSync(cache);
  for (let i = 0; i < 60; i++) appendFileSync(path.join(cache, `old-${i}`), '');
  run();
  t.equal(kept().length, 40);
  t.equal(kept().filter(name => name.startsWith(process.version)).length, 1);
});
