/** The program: finds the command, runs it, turns an error into one line and an exit status. */
import path from 'node:path';
import tty from 'node:tty';
import { describe, exitStatus, printable, RafsError } from '../lib/errors.js';
import { abandonAll } from '../streams/io/file-output.js';
import { parseCommandLine, type Invocation, type Printout } from './cli/command-line.js';
import { colored, highlight } from './console/color.js';
import { runCommand } from './commands/run.js';
import { checkFiles } from './cli/file-roles.js';
import { createLog, type Log } from './console/log.js';
import { UsageError } from './cli/option-rules.js';
import { COMMANDS, GROUPS, PIPE_ARGV } from './cli/options.js';
import { onStop } from './signals.js';
import { keepMemorySmall } from './memory.js';
import { versionText } from './version.js';
import { unblockFifoPeers } from './cli/unblock-fifo-peers.js';

/** Without a command, a tar on standard input becomes a blob on standard output. */
const parse = (argv: readonly string[], prog: string): Invocation | Printout => {
  const names = new Set([...Object.keys(COMMANDS), ...Object.keys(GROUPS), 'help']);
  const asks = argv.some(arg => names.has(arg) || /^(?:-h|--help|-V|--version)$/.test(arg));
  // under the name nydus-image the program behaves like that one
  if (asks || prog === 'nydus-image') return parseCommandLine(argv, prog);
  if (tty.isatty(0)) return parseCommandLine(argv.length === 0 ? ['--help'] : argv, prog);
  if (tty.isatty(1)) {
    throw new RafsError('USAGE', 'cannot write a blob to a terminal: redirect standard output');
  }
  return parseCommandLine([...PIPE_ARGV, ...argv], prog);
};

/** `--version` with `--verbose`, which nydus-image does not have. */
const asksForEngines = (argv: readonly string[]): boolean =>
  argv.length === 2 &&
  argv.includes('--verbose') &&
  argv.some(arg => arg === '--version' || arg === '-V');

/** Resolves when the stream has taken the text, so that a slow reader slows us down. */
const print = (text: string, stream: NodeJS.WriteStream = process.stdout): Promise<void> =>
  new Promise((resolve, reject) => {
    stream.write(text, cause => {
      if (cause) reject(new Error('the output is closed', { cause }));
      else resolve();
    });
  });

/** How long a stopped command may take to clean up. */
const GRACE_MS = 1000;

const fail = (text: string): void => {
  process.stderr.write(colored(process.stderr.isTTY) ? highlight(text) : text);
};

const lineOf = (error: unknown): string => `Error: ${describe(reasonOf(error))}\n`;

/** Node takes a module that it cannot open to be missing, and says who wanted it on more lines. */
const reasonOf = (error: unknown): unknown => {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== 'MODULE_NOT_FOUND' && code !== 'ERR_MODULE_NOT_FOUND') return error;
  const [text] = message.split('\n', 1);
  const { userLimits } = process.report.getReport() as ProcessReport;
  const files = userLimits?.open_files?.soft;
  const isFew = typeof files === 'number' && files < LEAST_FILES;
  return new Error(isFew ? `${text} with at most ${files} open files (ulimit -n)` : text);
};

/** What Node reports of its limits; Windows has none. */
interface ProcessReport {
  userLimits?: { open_files?: { soft: number | 'unlimited' } };
}

/** With fewer, modules may not load. */
const LEAST_FILES = 64;

const main = async (): Promise<number> => {
  keepMemorySmall();
  const prog = path.basename(process.argv[1] ?? 'rafs-stream').replace(/\.js$/, '');
  let log: Log | undefined;
  const stop = new AbortController();
  let stopped = 0;
  onStop((reason, status) => {
    if (stopped) process.exit(stopped); // the second signal
    stopped = status;
    stop.abort(reason);
    // for commands that ignore the signal or wait for a peer; files are removed on exit
    setTimeout(() => {
      fail(lineOf(stop.signal.reason));
      process.exit(stopped);
    }, GRACE_MS).unref();
  });
  process.on('exit', abandonAll);
  try {
    const argv = process.argv.slice(2);
    if (asksForEngines(argv)) {
      const { enginesText } = await import('./engines.js');
      await print(versionText().replace(/\n+$/, '\n') + (await enginesText()));
      return 0;
    }
    const parsed = parse(argv, prog);
    if ('print' in parsed) {
      const stream = process[parsed.stream];
      await print(colored(stream.isTTY) ? highlight(parsed.print) : parsed.print, stream);
      return parsed.exit;
    }
    checkFiles(parsed);
    const { globals } = parsed;
    log = createLog({ level: globals['log-level'], file: globals['log-file'] });
    await runCommand(parsed, {
      log,
      progress: globals.progress,
      fsync: !globals['no-fsync'],
      signal: stop.signal,
      // programs get the bytes as they are
      stdout: text => print(process.stdout.isTTY ? printable(text, { lines: true }) : text),
    });
    return 0;
  } catch (error) {
    if (log && error instanceof RafsError && error.code === 'INCONSISTENT') {
      // clients look for this record
      log.error(`message:${describe(error)}`);
      return exitStatus(error);
    }
    if (error instanceof UsageError) {
      fail(error.message);
      await unblockFifoPeers(process.argv.slice(2));
    } else {
      fail(lineOf(stopped ? stop.signal.reason : error));
      // nothing has been opened yet
      if (!log) await unblockFifoPeers(process.argv.slice(2));
    }
    return stopped || exitStatus(error);
  } finally {
    log?.close();
  }
};

// not awaited here: the bundle is CommonJS
void main().then(status => {
  process.exitCode = status;
});
