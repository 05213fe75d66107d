/**
 * Runs the bundle of the program with the code that V8 compiled when it ran before: a small command
 * spends most of its time on compiling.
 *
 * The code is kept beside the bundle, or in the user's cache directory where the package cannot be
 * written to, in a file for each kind of command, with the functions that such a command calls. It
 * is taken only from files that nobody but this user and root can write, and that are whole. Nothing
 * here makes a command fail: without a place to keep code, it is compiled as usual.
 *
 * Node's own cache (`enableCompileCache` in node:module) has no code of functions that were first
 * called later than their module was loaded, and that is most of it.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';
import { isNode } from './v8-flags.js';

/** Size of the digest that a file begins with: V8 does not notice damaged code, but crashes. */
const DIGEST_SIZE = 32;
/** Files that a directory may have; of more, the oldest are removed. */
const MOST_FILES = 40;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Whether only root and this user can write it. */
const isOurs = ({ uid, mode }: fs.Stats): boolean =>
  (uid === 0 || uid === process.geteuid?.()) && (mode & 0o022) === 0;

/** Where code may be kept, the best place first. */
const placesFor = (bundle: string): string[] => {
  const { XDG_CACHE_HOME: given, HOME: home } = process.env;
  const base = given ?? (home === undefined ? '' : path.join(home, '.cache'));
  const beside = path.join(path.dirname(bundle), 'cache');
  return path.isAbsolute(base) ? [beside, path.join(base, 'rafs-stream')] : [beside];
};

/** The code in a file; undefined if there is none that can be trusted. */
const readCode = (file: string): Buffer | undefined => {
  let fd: number | undefined;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const stat = fs.fstatSync(fd);
    if (!stat.isFile() || !isOurs(stat)) return undefined;
    const bytes = fs.readFileSync(fd);
    const code = bytes.subarray(DIGEST_SIZE);
    return sha256(code).equals(bytes.subarray(0, DIGEST_SIZE)) ? code : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
};

/** Not with `recursive`, which never ends where a file system says that a parent is missing. */
const makeDirectory = (directory: string): void => {
  if (!fs.existsSync(directory)) fs.mkdirSync(directory, { mode: 0o755 });
};

/** Tells whether the code is kept now. */
const keepCode = (place: string, name: string, code: Buffer): boolean => {
  const temporary = path.join(place, `.${name}-${process.pid}`);
  try {
    makeDirectory(path.dirname(place));
    makeDirectory(place);
    if (!isOurs(fs.statSync(place))) return false;
    fs.writeFileSync(temporary, Buffer.concat([sha256(code), code]), { mode: 0o644, flag: 'wx' });
    fs.renameSync(temporary, path.join(place, name));
    removeOldest(place);
    return true;
  } catch {
    return false;
  }
};

const removeOldest = (place: string): void => {
  const files = fs.readdirSync(place).map(name => path.join(place, name));
  if (files.length <= MOST_FILES) return;
  const changed = new Map(files.map(file => [file, fs.statSync(file).mtimeMs]));
  files.sort((a, b) => changed.get(b)! - changed.get(a)!);
  for (const file of files.slice(MOST_FILES)) fs.rmSync(file, { force: true });
};

/** What kind of command this is, as far as that determines what is called. */
const kindOf = (argv: readonly string[]): string => {
  if (argv.some(arg => /^(?:-h|--help|-V|--version|help)$/.test(arg))) return 'help';
  const [command = 'pipe'] = argv.filter((arg, i) => i === 0 && /^[a-z]{3,12}$/.test(arg));
  const type = argv.map(arg => /(?:^|=)([a-z]{3,8}-[a-z]{3,8})$/.exec(arg)?.[1]).find(Boolean);
  return type === undefined ? command : `${command}-${type}`;
};

/** The name of the file for this kind of command, by this version of the bundle and of Node. */
const nameFor = (source: string, argv: readonly string[]): string => {
  const { version, arch, execArgv, env } = process;
  const options = [...execArgv, env.NODE_OPTIONS ?? ''].join(' ').trim();
  const build = source.slice(3, 19); // a digest of the rest (scripts/build.mjs)
  const set = options && `-${sha256(Buffer.from(options)).toString('hex', 0, 4)}`;
  return `${version}-${arch}-${build}-${kindOf(argv)}${set}`;
};

export const runBundle = (bundle: string, argv: readonly string[]): void => {
  const require = createRequire(bundle);
  // where V8 is another, or none, or was told not to: as any module
  if (!isNode || process.env.NODE_DISABLE_COMPILE_CACHE) {
    require(bundle);
    return;
  }
  const source = fs.readFileSync(bundle, 'latin1'); // it is ASCII
  const name = nameFor(source, argv);
  const places = placesFor(bundle);
  let cachedData: Buffer | undefined;
  for (const place of places) cachedData ??= readCode(path.join(place, name));
  const script = new vm.Script(`(function (require, __filename) {${source}\n})`, {
    filename: bundle,
    ...(cachedData && { cachedData }),
  });
  if (!cachedData || script.cachedDataRejected) {
    process.once('exit', status => {
      if (status !== 0) return; // it has hardly run
      const code = script.createCachedData();
      places.some(place => keepCode(place, name, code));
    });
  }
  const run = script.runInThisContext() as (require: NodeJS.Require, filename: string) => void;
  run(require, bundle);
};
