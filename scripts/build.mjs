/**
 * Builds dist/: WebAssembly from assembly/, then TypeScript, then a bundle of the program. Only
 * what changed is rebuilt, and outputs without a source are removed, so that the test of a deleted
 * file does not run.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { filesBelow, isMain, root, run } from './project.mjs';

const SOURCES = ['bin', 'lib', 'streams', 'test', 'benchmarks'];
const BINS = ['dist/bin/rafs-stream.js'];
const INFO = 'dist/.tsbuildinfo';
const WASM_STAMP = 'dist/.wasm-sources';

const at = file => path.join(root, file);
const remove = file => rmSync(at(file), { force: true });

/** The source of a file in dist/. */
const sourceOf = file => {
  const plain = file.replace(/^dist\//, '');
  return plain.endsWith('.wasm')
    ? plain.replace(/^lib\/compress\/(.*)\.wasm$/, 'assembly/$1.ts')
    : plain
        .replace(/^streams\/report\/report\.html$/, 'page/report.html')
        .replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
};

const prune = () => {
  for (const file of SOURCES.flatMap(directory => filesBelow(`dist/${directory}`))) {
    if (!existsSync(at(sourceOf(file)))) remove(file);
  }
};

const buildWasm = () => {
  const sources = filesBelow('assembly');
  const hash = createHash('sha256').update(readFileSync(at('package-lock.json')));
  for (const file of sources) hash.update(`${file}\0`).update(readFileSync(at(file)));
  const digest = hash.digest('hex');
  const made = filesBelow('dist/lib').filter(file => file.endsWith('.wasm'));
  const stamp = [digest, ...made].join('\n');
  const known = existsSync(at(WASM_STAMP)) && readFileSync(at(WASM_STAMP), 'utf8');
  if (made.length > 0 && stamp === known) return 0;
  const status = run(process.execPath, ['assembly/build.mjs']);
  if (status !== 0) return status;
  const now = filesBelow('dist/lib').filter(file => file.endsWith('.wasm'));
  writeFileSync(at(WASM_STAMP), [digest, ...now].join('\n'));
  return 0;
};

/** The compiler trusts its notes, so they are removed if dist/ was changed behind its back. */
const checkNotes = () => {
  if (!existsSync(at(INFO))) return;
  const written = statSync(at(INFO)).mtimeMs;
  const outputs = SOURCES.flatMap(filesBelow)
    .filter(file => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map(file => at(`dist/${file.replace(/ts$/, 'js')}`));
  const trusted = outputs.every(file => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat ? stat.mtimeMs <= written : newerSourceOf(file, written);
  });
  if (!trusted) remove(INFO);
};

/** A missing output is fine if its source is newer than the notes. */
const newerSourceOf = (file, written) =>
  statSync(at(sourceOf(path.relative(root, file)))).mtimeMs > written;

const compile = () => {
  checkNotes();
  const tsc = at('node_modules/typescript/bin/tsc');
  const status = run(process.execPath, [
    tsc,
    '-p',
    '.',
    '--incremental',
    '--tsBuildInfoFile',
    INFO,
  ]);
  if (existsSync(at(INFO))) utimesSync(at(INFO), new Date(), new Date());
  return status;
};

/** Packages that stay outside of the bundle: native ones, those with files beside them, large ones. */
const OUTSIDE = [
  '@bokuweb/zstd-wasm',
  '@napi-rs/*',
  '@node-rs/*',
  'hash-wasm',
  'node-sqlite3-wasm',
  'undici',
  'zstd-napi',
];

/**
 * What the bundle begins with. Its files are CommonJS, which starts faster than ES modules, so they
 * make `import.meta.url` themselves. A module of Node is given both as itself and as its default
 * export: esbuild's own way copies every name of it for every file that imports it.
 */
const BANNER = `
'use strict';
const bundleUrl = require('node:url').pathToFileURL(__filename).href;
const given = new Map();
const nodeModule = name => {
  let made = given.get(name);
  if (!made) {
    const module = require(name);
    made = Object.create(module, { default: { value: module } });
    given.set(name, made);
  }
  return made;
};`;

const HELPER = /__toESM\(require\(("node:[^"]+")\)(?:, ?1)?\)/g;

/**
 * Bundles the program and each of its threads into one file. In it, a module runs when it is first
 * needed. Without esbuild the program runs from its modules.
 */
const bundle = async () => {
  rmSync(at('dist/bundle'), { recursive: true, force: true });
  const esbuild = await import('esbuild').catch(() => undefined);
  if (!esbuild) {
    process.stderr.write('build: without esbuild, so the program starts more slowly\n');
    return;
  }
  const threads = filesBelow('dist/streams').filter(file => file.endsWith('-worker.js'));
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['dist/bin/main.js', ...threads],
    entryNames: '[name]',
    outdir: 'dist/bundle',
    write: false,
    bundle: true,
    external: OUTSIDE,
    format: 'cjs',
    supported: { 'dynamic-import': false }, // packages are loaded with require, too
    platform: 'node',
    target: 'node20',
    charset: 'ascii',
    minifyWhitespace: true,
    legalComments: 'none',
    define: { 'import.meta.url': 'bundleUrl' },
    logLevel: 'warning',
  });
  mkdirSync(at('dist/bundle'), { recursive: true });
  writeFileSync(at('dist/bundle/package.json'), '{ "type": "commonjs" }\n');
  for (const { path: file, text } of outputFiles) {
    const code = `${BANNER}${text.replace(HELPER, 'nodeModule($1)')}`;
    // the name under which compiled code is kept
    const digest = createHash('sha256').update(code).digest('hex');
    writeFileSync(file, `// ${digest}${code}`);
  }
  for (const file of filesBelow('dist/lib').filter(file => file.endsWith('.wasm'))) {
    copyFileSync(at(file), at(`dist/bundle/${path.basename(file)}`));
  }
};

/**
 * The page of reports: one file with its style and script, from page/. It lies beside the module
 * that reads it, and beside the bundle.
 */
const buildPage = async () => {
  const esbuild = await import('esbuild').catch(() => undefined);
  if (!esbuild) {
    process.stderr.write('build: without esbuild, so there is no page for reports\n');
    return;
  }
  const made = async (file, options) => {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: root,
      entryPoints: [file],
      bundle: true,
      minify: true,
      write: false,
      target: 'es2022',
      charset: 'utf8',
      ...options,
    });
    return outputFiles[0].text.trim();
  };
  const parts = {
    '%STYLE%': await made('page/style.css', {}),
    '%SCRIPT%': await made('page/main.ts', { format: 'esm', legalComments: 'inline' }),
  };
  const page = readFileSync(at('page/report.html'), 'utf8').replace(
    /%(STYLE|SCRIPT)%/g,
    mark => parts[mark],
  );
  for (const directory of ['dist/streams/report', 'dist/bundle']) {
    mkdirSync(at(directory), { recursive: true });
    writeFileSync(at(`${directory}/report.html`), page);
  }
};

/** Returns the exit status: 0 if everything is built and the types are right. */
export const build = async () => {
  mkdirSync(at('dist/lib'), { recursive: true });
  prune();
  const status = buildWasm() || compile();
  if (status === 0) {
    await bundle();
    await buildPage();
  }
  for (const bin of BINS) if (existsSync(at(bin))) chmodSync(at(bin), 0o755);
  return status;
};

if (isMain(import.meta.url)) process.exitCode = await build();
