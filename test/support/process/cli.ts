/** Runs the program as its users do: as a process. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/** What `node` is to run. */
export const CLI = fileURLToPath(new URL('../../../bin/rafs-stream.js', import.meta.url));

export interface CliOptions {
  /** what it reads; nothing unless given, and left open if undefined is given */
  stdin?: Buffer | string | Readable | undefined;
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** one that takes longer hangs: it is killed, and the test fails */
  timeoutMs?: number;
}

export interface Ran {
  /** exit status; null if a signal ended it */
  exit: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
  hung: boolean;
}

export interface Running {
  child: ChildProcessWithoutNullStreams;
  ended: Promise<Ran>;
}

/** Before a command: takes away what tap has put in to be loaded into every process. */
export const PLAIN = ['env', '-u', 'NODE_OPTIONS'] as const;

/** Starts it. Its stdout is not read before `ended` is awaited, if `read` is false. */
export const start = (
  argv: readonly string[],
  options: CliOptions & { read?: boolean } = {},
): Running => {
  const { cwd, env, timeoutMs = 60_000, read = true } = options;
  const [program, ...before] = PLAIN;
  const child = spawn(program, [...before, process.execPath, CLI, ...argv], {
    cwd,
    env: { ...process.env, NO_COLOR: '1', ...env },
  });
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  child.stdin.on('error', () => undefined); // it may end without reading all
  const { stdin = 'stdin' in options ? undefined : '' } = options;
  if (typeof stdin === 'string' || Buffer.isBuffer(stdin)) child.stdin.end(stdin);
  else if (stdin) stdin.pipe(child.stdin);
  const stdout = read ? buffer(child.stdout) : Promise.resolve(Buffer.alloc(0));
  const stderr = buffer(child.stderr);
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  const ended = (async () => {
    const [exit, signal] = await exited;
    clearTimeout(timer);
    const errors = (await stderr).toString();
    return { exit, signal, stdout: await stdout, stderr: errors, hung };
  })();
  return { child, ended };
};

/** Runs it to its end. */
export const cli = (argv: readonly string[], options: CliOptions = {}): Promise<Ran> =>
  start(argv, options).ended;

/** Runs it; the test fails unless it succeeds and says nothing on stderr. */
export const succeed = async (
  t: Test,
  argv: readonly string[],
  options: CliOptions = {},
): Promise<Ran> => {
  const ran = await cli(argv, options);
  t.match({ ...ran, stdout: '' }, { exit: 0, hung: false, stderr: '' }, argv.join(' '));
  return ran;
};

/** How a failure must look: one line for a person, and an exit status. */
export const hasFailed = (t: Test, ran: Ran, what: string, exit: number, text?: RegExp): void => {
  const { stderr } = ran;
  t.equal(ran.hung, false, `${what}: ends by itself`);
  t.equal(ran.exit, exit, `${what}: exit status`);
  t.match(stderr, /^Error: [^\n]{3,}\n$/, `${what}: one line on stderr`);
  t.notMatch(
    stderr,
    /TypeError|RangeError|undefined|NaN|\[object|\bat [A-Za-z]\w* \(/,
    `${what}: for people`,
  );
  if (text) t.match(stderr, text, `${what}: says what is wrong`);
};
