/** How the sources are laid out: what may import what, and what has a test. */
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

interface Source {
  path: string;
  text: string;
  /** what it imports, with types and require() */
  imports: string[];
}

/** The text without comments, so that words about code are not taken for it. */
const codeOf = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;{}(,])\/\/.*$/gm, '$1');

const readSource = async (path: string): Promise<Source> => {
  const text = codeOf(await readFile(join(ROOT, path), 'utf8'));
  const imports = [...text.matchAll(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*'([^']+)'/g)].map(
    match => match[1]!,
  );
  return { path, text, imports };
};

const sources: Source[] = [];
for (const folder of ['bin', 'lib', 'streams']) {
  for (const path of await filesIn(folder)) sources.push(await readSource(path));
}
const tests = new Set(await filesIn('test'));
const inFolder = (folder: string): Source[] =>
  sources.filter(({ path }) => path.startsWith(`${folder}/`));

t.test('there are sources, and their imports are found', async t => {
  for (const folder of ['bin', 'lib', 'streams']) t.ok(inFolder(folder).length > 5, folder);
  const stage = sources.find(({ path }) => path === 'streams/stage.ts')!;
  t.same(stage.imports, ['node:stream', '../lib/errors.js']);
  const parts = sources.find(({ path }) => path === 'lib/parts.ts')!;
  t.ok(parts.imports.includes('./blob-file.js'), 'also of types');
});

/** Whether a file declares types and nothing that runs: there is nothing to test then. */
const isTypesOnly = async (path: string): Promise<boolean> => {
  const compiled = await readFile(join(ROOT, 'dist', path.replace(/\.ts$/, '.js')), 'utf8').catch(
    () => '', // not compiled yet
  );
  return codeOf(compiled).trim() === 'export {};';
};

/** Files that so far are tested through the commands that use them, and where. */
const TESTED_IN = new Map(
  Object.entries({
    'test/bin/rafs-stream.test.ts': ['bin/main.ts'],
    'test/golden/cases.test.ts': [
      ...['bin/merge.ts', 'bin/open-layers.ts', 'bin/read-patterns.ts'],
      ...['lib/blob-sections.ts', 'lib/blob-table.ts', 'lib/chunk-dict.ts', 'lib/compatibility.ts'],
      ...[
        'lib/emit-bootstrap.ts',
        'lib/growing-memory.ts',
        'lib/gzip-steps.ts',
        'lib/load-tree.ts',
      ],
      ...['lib/merge.ts', 'lib/name-tree.ts', 'lib/overlay.ts', 'lib/zran.ts'],
      ...['streams/reference-writer.ts', 'streams/zran-demux.ts'],
    ],
    'test/bin/compact.test.ts': [
      ...['bin/blob-sources.ts', 'bin/staged-image.ts', 'streams/compactor.ts'],
    ],
    'test/e2e/interrupted.test.ts': ['streams/gone.ts'],
    'test/streams/file-hash.test.ts': ['streams/file-hash-worker.ts'],
    'test/lib/compressed-erofs.test.ts': ['lib/compressed-plan.ts'],
    'test/streams/block-reader.test.ts': ['streams/mapped-blob.ts'],
    'test/streams/nbd-server.test.ts': ['streams/nbd-connection.ts', 'streams/nbd-session.ts'],
    'test/streams/hash-pool.test.ts': ['streams/hash-worker.ts'],
  }).flatMap(([test, paths]) => paths.map(path => [path, test] as const)),
);

t.test('every source file has its test file', async t => {
  t.equal(await isTypesOnly('lib/parts.ts'), true);
  t.equal(await isTypesOnly('lib/errors.ts'), false);
  for (const { path } of sources) {
    if (await isTypesOnly(path)) continue;
    const due = join('test', path.replace(/\.ts$/, '.test.ts'));
    t.ok(tests.has(due) || tests.has(TESTED_IN.get(path) ?? ''), `${due} for ${path}`);
  }
});

t.test('every test of a source file has its source file', async t => {
  const known = new Set(sources.map(({ path }) => path));
  for (const test of tests) {
    const [, folder, ...rest] = test.split('/');
    if (!/^(bin|lib|streams)$/.test(folder!) || !test.endsWith('.test.ts')) continue;
    const path = join(folder!, ...rest).replace(/\.test\.ts$/, '.ts');
    t.ok(known.has(path), `${path} for ${test}`);
  }
});

/** Modules that do I/O or start something. */
const IO =
  /^(node:)?(fs|fs\/promises|net|http|https|stream|stream\/promises|child_process|worker_threads)$/;
/** Our own wasm files are read where they are loaded. */
const IO_ALLOWED = new Map([['lib/wasm.ts', ['node:fs']]]);

t.test('lib does no I/O and knows no stream', async t => {
  for (const { path, imports } of inFolder('lib')) {
    const allowed = IO_ALLOWED.get(path) ?? [];
    t.same(
      imports.filter(name => (IO.test(name) || name === 'stream-chain') && !allowed.includes(name)),
      [],
      path,
    );
  }
});

/** The folder of what a file imports, for imports within the project. */
const importedFolders = ({ path, imports }: Source): string[] =>
  imports
    .filter(name => name.startsWith('.'))
    .map(name => relative(ROOT, resolve(ROOT, dirname(path), name)).split('/')[0]!);

t.test('imports go from bin to streams to lib, types too', async t => {
  for (const source of sources) {
    const folder = source.path.split('/')[0]!;
    const allowed = { bin: ['bin', 'streams', 'lib'], streams: ['streams', 'lib'], lib: ['lib'] }[
      folder
    ]!;
    const wrong = importedFolders(source).filter(
      to =>
        !allowed.includes(to) &&
        !source.imports.some(name => name.endsWith('package.json') && to === 'package.json'),
    );
    t.same(wrong, [], source.path);
  }
});

t.test('integers are read and written in lib/struct.ts only', async t => {
  const INTEGER =
    /\b(?:read|write)(?:Big)?U?Int(?:8|16|32|64)?(?:LE|BE)?\b|\bDataView\b|\b(?:get|set)(?:Big)?(?:Uint|Int)(?:8|16|32|64)\b/g;
  t.match('buf.readUInt32LE(0)', INTEGER);
  for (const { path, text } of sources) {
    if (path === 'lib/struct.ts') continue;
    t.same(text.match(INTEGER) ?? [], [], path);
  }
});
