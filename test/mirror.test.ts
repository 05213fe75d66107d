/** How sources and tests lie side by side; what may import what, npm run lint says. */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { dirname, join, relative, resolve } from 'node:path';
import t from 'tap';

// this file runs from dist/test; the sources lie two folders up
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const filesIn = async (folder: string): Promise<string[]> => {
  const found = await readdir(join(ROOT, folder), { recursive: true });
  return found
    .filter(name => name.endsWith('.ts'))
    .map(name => join(folder, name))
    .sort();
};

/** Whether a file declares types and nothing that runs: there is nothing to test then. */
const isTypesOnly = async (path: string): Promise<boolean> => {
  const compiled = await readFile(join(ROOT, 'dist', path.replace(/\.ts$/, '.js')), 'utf8').catch(
    () => '', // not compiled yet
  );
  const code = compiled.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;{}(,])\/\/.*$/gm, '$1');
  return code.trim() === 'export {};';
};

/** Paths of the sources that a test imports, or runs as a thread. */
const importsOf = async (test: string): Promise<string[]> => {
  const text = await readFile(join(ROOT, test), 'utf8');
  return [...text.matchAll(/'(\.[^']*)\.js'/g)].map(([, name]) =>
    relative(ROOT, `${resolve(ROOT, dirname(test), name!)}.ts`),
  );
};

/** Rooms whose files are tested together, by the whole that they make: and by which tests. */
const TESTED_AS_A_WHOLE: Readonly<Record<string, string>> = {
  'streams/convert': 'test/e2e/convert.test.ts',
  'streams/nydus': 'test/e2e/convert.test.ts',
  'streams/transport': 'test/e2e/convert.test.ts',
  'streams/registry': 'test/peer/registries.test.ts',
  'streams/http': 'test/streams/http/client.test.ts',
  'streams/image': 'test/package.test.ts',
  'streams/rewrite': 'test/bin/commands/compact.test.ts',
  'bin/commands': 'test/e2e/convert.test.ts',
};

const sources: string[] = [];
for (const folder of ['bin', 'lib', 'streams']) sources.push(...(await filesIn(folder)));
const tests = (await filesIn('test')).filter(path => path.endsWith('.test.ts'));

t.test('every source file has its test file, or tests in its room that import it', async t => {
  t.ok(sources.length > 200);
  t.equal(await isTypesOnly('lib/model/parts.ts'), true);
  t.equal(await isTypesOnly('lib/errors.ts'), false);
  const own = new Set(tests);
  const imported = new Map<string, Set<string>>(); // by room of the test
  for (const test of tests) {
    const room = dirname(test);
    const known = imported.get(room) ?? new Set();
    for (const path of await importsOf(test)) known.add(path);
    imported.set(room, known);
  }
  for (const path of sources) {
    if (own.has(join('test', path.replace(/\.ts$/, '.test.ts')))) continue;
    if (imported.get(join('test', dirname(path)))?.has(path)) continue;
    if (own.has(TESTED_AS_A_WHOLE[dirname(path)] ?? '')) continue;
    if (!(await isTypesOnly(path))) t.fail(`no test of ${path}`);
  }
});

t.test('every test of a source file has its source file', async t => {
  const known = new Set(sources);
  for (const test of tests) {
    const [, folder, ...rest] = test.split('/');
    if (!/^(bin|lib|streams)$/.test(folder!)) continue;
    const path = join(folder!, ...rest).replace(/\.test\.ts$/, '.ts');
    t.ok(known.has(path), `${path} for ${test}`);
  }
});

t.test('a room has at most 15 files', async t => {
  const sizes = new Map<string, number>();
  for (const path of sources) sizes.set(dirname(path), (sizes.get(dirname(path)) ?? 0) + 1);
  for (const [room, size] of sizes) t.ok(size <= 15, `${room}: ${size} files`);
});
