/**
 * npm run fuzz:endings: every command that writes is killed, runs out of disk, or loses its reader,
 * at a random moment.
 *
 *     npm run fuzz:endings -- --rounds 500 --seed 7 --only chunkdict
 *
 * A finding is: a file under its final name that is not what an undisturbed run makes; a failure of
 * more than one line, or that hangs; a next run that fails, or leaves anything that an undisturbed
 * run does not. Ends with status 1 if there is any. Full disks need root, for a small tmpfs.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CLI } from '../support/process/cli.js';
import { withoutMount } from '../support/process/fs.js';
import { numbers, randomBytes, wordyBytes } from '../support/random.js';
import { tarOf } from '../support/tar/tar.js';

type Next = (limit: number) => number;

/** A command that writes below `out`, or to stdout if it says so. */
interface Writing {
  readonly name: string;
  /** brings what the command changes into its output folder */
  readonly prepare?: (out: string) => void;
  readonly argv: (out: string) => string[];
  readonly stdout?: true;
}

export interface EndingsResult {
  readonly rounds: Record<'killed' | 'full disk' | 'lost reader', number>;
  /** of the killed ones: how many had not ended by themselves */
  readonly struck: number;
  readonly findings: readonly string[];
}

const HANG_MS = 60_000;

interface Ran {
  exit: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
  hung: boolean;
  ms: number;
}

interface Disturbance {
  /** milliseconds after which it is killed */
  killAfter?: number;
  /** bytes of stdout after which its reader leaves */
  readBytes?: number;
}

const run = (argv: readonly string[], { killAfter, readBytes }: Disturbance = {}): Promise<Ran> =>
  new Promise(resolve => {
    const started = performance.now();
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn(process.execPath, [CLI, ...argv, '--log-level', 'warn'], {
      env: { ...env, NO_COLOR: '1' },
      stdio: ['ignore', readBytes === undefined ? 'ignore' : 'pipe', 'pipe'],
    });
    let stderr = '';
    let hung = false;
    child.stderr!.on('data', text => (stderr += String(text)));
    let read = 0;
    child.stdout?.on('data', (bytes: Buffer) => {
      read += bytes.length;
      if (read >= readBytes!) child.stdout!.destroy();
    });
    const kill = (): boolean => child.kill('SIGKILL');
    const strike = killAfter === undefined ? undefined : setTimeout(kill, killAfter);
    const late = setTimeout(() => (hung = kill()), HANG_MS);
    child.once('close', (exit, signal) => {
      clearTimeout(strike);
      clearTimeout(late);
      resolve({ exit, signal, stderr, hung, ms: performance.now() - started });
    });
  });

const filesIn = (folder: string): string[] =>
  fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => !fs.statSync(path.join(folder, name)).isDirectory())
    .sort();

/** Files that are not yet, or not only, results. */
const isTemporary = (name: string): boolean =>
  /(?:^|\/)\.rafs-stream-/.test(name) || /\.db(?:-journal|\.owner)$/.test(name);

/** What must be equal in every run: everything but times in JSON, and a database, which grows. */
const contentOf = (file: string): string => {
  if (file.endsWith('.db')) return 'database';
  if (path.basename(file) === 'archive') return membersOf(file);
  const bytes = fs.readFileSync(file);
  if (!file.endsWith('.json')) return createHash('sha256').update(bytes).digest('hex');
  const { trace: _, ...rest } = JSON.parse(bytes.toString()) as Record<string, unknown>;
  return JSON.stringify(rest);
};

/** The files in a tar, whose order depends on which layer was converted first. Fails if it ends early. */
const membersOf = (tar: string): string => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rafs-archive-'));
  try {
    execFileSync('tar', ['-xf', tar, '-C', folder], { stdio: 'ignore' });
    return JSON.stringify([...contentsOf(folder)]);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
};

const contentsOf = (folder: string): Map<string, string> =>
  new Map(
    filesIn(folder)
      .filter(name => !isTemporary(name))
      .map(name => [name, contentOf(path.join(folder, name))]),
  );

/** A chunk dictionary's rows grow by each run that saved them: its images may be chosen otherwise. */
const mayDiffer = (name: string): boolean => name === 'dictionary';

/** Inputs for all commands, and the commands. */
const commandsIn = async (folder: string): Promise<Writing[]> => {
  const at = (...names: string[]): string => path.join(folder, ...names);
  const tar = (seed: number): Buffer =>
    tarOf([
      ...Array.from({ length: 40 }, (_, i) => ({
        name: `small-${seed}-${i}`,
        content: wordyBytes(3000 + i * 50, seed + i),
      })),
      {
        name: 'large',
        content: Buffer.concat([randomBytes(3_000_000, seed), wordyBytes(2_000_000, seed)]),
      },
      { name: 'same', content: randomBytes(1_500_000, 99) },
    ]);
  const must = async (...argv: string[]): Promise<void> => {
    const ran = await run(argv);
    if (ran.exit !== 0) throw new Error(`${argv.join(' ')}: ${ran.stderr}`);
  };
  for (const [i, name] of ['lower', 'upper'].entries()) {
    const image = at(`app:${name}`); // a chunk dictionary names images by their folders
    fs.mkdirSync(image);
    fs.writeFileSync(at(`${name}.tar`), tar(i + 1));
    await must(
      'create',
      '-t',
      'tar-rafs',
      '-B',
      path.join(image, 'boot'),
      '-D',
      image,
      at(`${name}.tar`),
    );
  }
  fs.mkdirSync(at('both'));
  for (const name of ['lower', 'upper']) {
    for (const blob of fs.readdirSync(at(`app:${name}`))) {
      if (blob !== 'boot') fs.copyFileSync(at(`app:${name}`, blob), at('both', blob));
    }
  }
  const boots = [at('app:lower', 'boot'), at('app:upper', 'boot')];
  await must('merge', '-B', at('both', 'boot'), ...boots);
  execFileSync('gzip', ['-k', at('lower.tar')]);
  layoutOf(at('layout'), [at('lower.tar'), at('upper.tar')]);
  await must('convert', `oci:${at('layout')}:t`, `oci:${at('nydus')}:t`);
  fs.writeFileSync(at('wanted'), JSON.stringify({ version: 'v1', files: [{ path: '/large' }] }));
  const copyBoth = (out: string): void => fs.cpSync(at('both'), out, { recursive: true });
  const create = (type: string, source: string) => (out: string) => [
    ...['create', '-t', type, '-B', `${out}/boot`, '-D', out, '-J', `${out}/out.json`, at(source)],
  ];
  const inline = (blob: string): string[] => [
    ...['create', '-t', 'tar-rafs', '--blob-inline-meta', '--features', 'blob-toc', '-b', blob],
    at('lower.tar'),
  ];
  const both = ['-B', at('both', 'boot'), '-D', at('both')];
  return [
    { name: 'create', argv: create('tar-rafs', 'lower.tar') },
    { name: 'create targz-ref', argv: create('targz-ref', 'lower.tar.gz') },
    { name: 'create inline', argv: out => inline(`${out}/blob`) },
    { name: 'create to stdout', argv: () => inline('/dev/stdout'), stdout: true },
    {
      name: 'merge',
      argv: out => ['merge', '-B', `${out}/boot`, '-J', `${out}/out.json`, ...boots],
    },
    { name: 'unpack', argv: out => ['unpack', ...both, '--output', `${out}/tar`] },
    {
      name: 'unpack to stdout',
      argv: () => ['unpack', ...both, '--output', '/dev/stdout'],
      stdout: true,
    },
    {
      name: 'export',
      argv: out => ['export', '--block', '--verity', ...both, '--output', `${out}/disk`],
    },
    {
      name: 'export to stdout',
      argv: () => ['export', '--block', ...both, '--output', '-'],
      stdout: true,
    },
    {
      name: 'compact',
      prepare: copyBoth,
      argv: out => [
        ...['compact', '-B', `${out}/boot`, '-D', out, '-O', `${out}/compact`],
        ...[
          '--min-used-ratio',
          '100',
          '--compact-blob-size',
          '100000000',
          '--max-compact-size',
          '200000000',
        ],
      ],
    },
    {
      name: 'optimize',
      argv: out => [
        ...['optimize', ...both, '--output-blob-dir', out, '-O', `${out}/quick`],
        ...['--prefetch-files', at('wanted')],
      ],
    },
    {
      name: 'chunkdict',
      argv: out => [
        ...[
          'chunkdict',
          'generate',
          '-B',
          `${out}/dictionary`,
          '--database',
          `sqlite://${out}/x.db`,
        ],
        ...boots,
      ],
    },
    { name: 'convert', argv: out => ['convert', `oci:${at('layout')}:t`, `oci:${out}/layout:t`] },
    {
      name: 'convert to an archive',
      argv: out => ['convert', `oci:${at('layout')}:t`, `oci-archive:${out}/archive:t`],
    },
    { name: 'copy', argv: out => ['copy', `oci:${at('nydus')}:t`, `oci:${out}/layout:t`] },
  ];
};

/** An image of uncompressed layers as a layout. */
const layoutOf = (folder: string, tars: readonly string[]): void => {
  const blobs = path.join(folder, 'blobs', 'sha256');
  fs.mkdirSync(blobs, { recursive: true });
  const put = (bytes: Buffer): { digest: string; size: number } => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    fs.writeFileSync(path.join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const type = (name: string): string => `application/vnd.oci.image.${name}`;
  const layers = tars.map(file => ({
    mediaType: type('layer.v1.tar'),
    ...put(fs.readFileSync(file)),
  }));
  const diffIds = layers.map(({ digest }) => digest);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = {
    mediaType: type('config.v1+json'),
    ...put(json({ architecture, os: 'linux', rootfs })),
  };
  const manifest = { schemaVersion: 2, mediaType: type('manifest.v1+json'), config, layers };
  const annotations = { 'org.opencontainers.image.ref.name': 't' };
  const entry = { mediaType: manifest.mediaType, ...put(json(manifest)), annotations };
  fs.writeFileSync(path.join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [entry] }));
  fs.writeFileSync(path.join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
};

/** What a command does if nobody disturbs it. */
interface Undisturbed {
  readonly command: Writing;
  readonly contents: ReadonlyMap<string, string>;
  /** bytes of all outputs */
  readonly size: number;
  readonly ms: number;
}

const folderFor = ({ prepare }: Writing, folder: string): string => {
  fs.mkdirSync(folder, { recursive: true });
  prepare?.(folder);
  return folder;
};

/** Names of files that are not what an undisturbed run makes. */
const wrongIn = (out: string, { contents }: Undisturbed): string[] =>
  filesIn(out).filter(name => {
    if (isTemporary(name)) return false;
    if (mayDiffer(name)) return false;
    try {
      return contentOf(path.join(out, name)) !== contents.get(name);
    } catch {
      return true; // half a JSON
    }
  });

const oneLine = (text: string): boolean => /^Error: [^\n]{3,}\n$/.test(text);

/** Kills the command, and runs it again. */
const killed = async (due: Undisturbed, out: string, next: Next) => {
  const { command } = due;
  folderFor(command, out);
  const ran = await run(command.argv(out), { killAfter: next(Math.ceil(due.ms * 1.1)) });
  const wrong = wrongIn(out, due).map(name => `${name} is not whole`);
  const again = await run(command.argv(out));
  if (again.exit !== 0) wrong.push(`the next run fails: ${again.stderr.trim()}`);
  wrong.push(...wrongIn(out, due).map(name => `${name} is wrong after the next run`));
  const left = filesIn(out).filter(isTemporary);
  if (left.length > 0) wrong.push(`the next run leaves ${left.join(', ')}`);
  return { struck: ran.signal === 'SIGKILL' && !ran.hung, wrong };
};

/** Runs the command where there is less room than it needs. */
const onFullDisk = async (due: Undisturbed, out: string, next: Next): Promise<string[]> => {
  const { command } = due;
  const input = fs.mkdtempSync(path.join(os.tmpdir(), 'rafs-input-'));
  command.prepare?.(input);
  const taken = filesIn(input).reduce(
    (sum, name) => sum + fs.statSync(path.join(input, name)).size,
    0,
  );
  fs.rmSync(input, { recursive: true });
  fs.mkdirSync(out, { recursive: true });
  const size = alignedTo(4096, taken + next(due.size)) + 0x10000;
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', out]);
  try {
    folderFor(command, out);
    const ran = await run(command.argv(out));
    const wrong = wrongIn(out, due).map(name => `${name} is not whole`);
    if (ran.exit !== 0 && !oneLine(ran.stderr)) wrong.push(`more than a line: ${ran.stderr}`);
    if (ran.hung) wrong.push('hangs');
    const left = filesIn(out).filter(isTemporary);
    if (left.length > 0) wrong.push(`leaves ${left.join(', ')}`);
    return wrong;
  } finally {
    execFileSync('umount', [out]);
  }
};

const alignedTo = (unit: number, size: number): number => Math.ceil(size / unit) * unit;

/** Reads some of what the command says, and no more. */
const withoutReader = async ({ command, size }: Undisturbed, next: Next): Promise<string[]> => {
  const ran = await run(command.argv(''), { readBytes: next(Math.max(1, size)) });
  const wrong: string[] = [];
  if (ran.hung) wrong.push('hangs');
  // what fits a pipe may have been written before the reader left
  if (ran.exit !== 0 && !oneLine(ran.stderr)) wrong.push(`more than a line: ${ran.stderr}`);
  return wrong;
};

export const endings = async ({
  rounds,
  seconds = Infinity,
  seed,
  only,
  tell = () => undefined,
}: {
  rounds: number;
  seconds?: number;
  seed: number;
  only?: string | undefined;
  tell?: (line: string) => void;
}): Promise<EndingsResult> => {
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'rafs-endings-'));
  const next = numbers(seed);
  const done = { killed: 0, 'full disk': 0, 'lost reader': 0 };
  const findings: string[] = [];
  let struck = 0;
  try {
    const dues: Undisturbed[] = [];
    for (const command of await commandsIn(folder)) {
      if (only !== undefined && !command.name.startsWith(only)) continue;
      const out = folderFor(command, path.join(folder, 'out'));
      const before = new Set(filesIn(out));
      const ran = await run(command.argv(out), command.stdout ? { readBytes: Infinity } : {});
      if (ran.exit !== 0) throw new Error(`${command.name}: ${ran.stderr}`);
      const sizes = filesIn(out).filter(name => !before.has(name));
      const size = sizes.reduce((sum, name) => sum + fs.statSync(path.join(out, name)).size, 0);
      const contents = contentsOf(out);
      dues.push({ command, contents, size: command.stdout ? 5_000_000 : size, ms: ran.ms });
      fs.rmSync(out, { recursive: true });
    }
    const mounts = withoutMount() === false;
    const end = performance.now() + seconds * 1000;
    for (let round = 0; round < rounds && performance.now() < end; round++) {
      const due = dues[round % dues.length]!;
      const out = path.join(folder, 'out');
      let wrong: string[];
      if (due.command.stdout) {
        wrong = await withoutReader(due, next);
        done['lost reader']++;
      } else if (mounts && next(4) === 0) {
        wrong = await onFullDisk(due, out, next);
        done['full disk']++;
      } else {
        const result = await killed(due, out, next);
        ({ wrong } = result);
        if (result.struck) struck++;
        done.killed++;
      }
      for (const what of wrong) {
        findings.push(`${due.command.name}, round ${round}: ${what}`);
        tell(findings.at(-1)!);
      }
      fs.rmSync(out, { recursive: true, force: true });
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return { rounds: done, struck, findings };
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '500' },
      seconds: { type: 'string', default: 'Infinity' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
    },
  });
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  const { rounds, struck, findings } = await endings({
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    only: values.only,
    tell,
  });
  const counts = Object.entries(rounds).map(([what, count]) => `${count} ${what}`);
  tell(`${counts.join(', ')} (${struck} struck midway); ${findings.length} found`);
  return findings.length === 0 ? 0 : 1;
};

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
