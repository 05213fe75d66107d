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

/**
 * Bundles the program into few files, which start faster: what a command loads lies in files of its
 * own, and a thread is one file. Packages stay outside. Without esbuild the program runs from its
 * modules.
 */
const bundle = async () => {
  rmSync(at('dist/bundle'), { recursive: true, force: true });
  const esbuild = await import('esbuild').catch(() => undefined);
  if (!esbuild) {
    process.stderr.write('build: without esbuild, so the program starts more slowly\n');
    return;
  }
  const workers = filesBelow('dist/streams').filter(file => file.endsWith('-worker.js'));
  const options = {
    absWorkingDir: root,
    outdir: 'dist/bundle',
    bundle: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  };
  await esbuild.build({ ...options, entryPoints: ['dist/bin/main.js'], splitting: true });
  await esbuild.build({ ...options, entryPoints: workers });
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
