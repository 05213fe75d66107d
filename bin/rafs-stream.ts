#!/usr/bin/env node
/** The entry: finds the command, runs it, turns an error into one line and an exit status. */
import path from 'node:path';
import tty from 'node:tty';
import { describe, exitStatus, RafsError } from '../lib/errors.js';
import { abandonAll } from '../streams/output.js';
import { parseCommandLine, type Invocation, type Printout } from './command-line.js';
import { runCommand } from './commands.js';
import { createLog, type Log } from './log.js';
import { UsageError } from './option-rules.js';

/** A tar on standard input becomes a blob on standard output. */
const PIPE = ['--type', 'tar-rafs', '--blob-inline-meta', '--features', 'blob-toc', '--blob', '-'];

const parse = (argv: readonly string[], prog: string): Invocation | Printout => {
  const parsed = parseCommandLine(argv, prog);
  // under its other name the program behaves like the one of that name
  if (!('print' in parsed) || !parsed.bare || prog === 'nydus-image') return parsed;
  if (tty.isatty(0)) return parseCommandLine(['--help'], prog);
  if (tty.isatty(1)) {
    throw new RafsError('USAGE', 'a blob is not for a terminal: redirect standard output');
  }
  return parseCommandLine(['create', ...argv, ...PIPE, '-'], prog);
};

/** Resolves when standard output has room again, so that a slow reader holds us back. */
const print = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(text, error => (error ? reject(error) : resolve()));
  });

const main = async (): Promise<number> => {
  const prog = path.basename(process.argv[1] ?? 'rafs-stream').replace(/\.js$/, '');
  let log: Log | undefined;
  const stop = new AbortController();
  let stopped = 0;
  const onSignal = (signal: NodeJS.Signals, number: number) => (): void => {
    if (stopped) process.exit(stopped); // asked twice
    stopped = 128 + number;
    stop.abort(new Error(`stopped by ${signal}`));
  };
  process.on('SIGINT', onSignal('SIGINT', 2));
  process.on('SIGTERM', onSignal('SIGTERM', 15));
  process.on('SIGHUP', onSignal('SIGHUP', 1));
  process.on('exit', abandonAll);
  try {
    const parsed = parse(process.argv.slice(2), prog);
    if ('print' in parsed) {
      process[parsed.stream].write(parsed.print);
      return parsed.exit;
    }
    const { globals } = parsed;
    log = createLog({ level: globals['log-level'], file: globals['log-file'] });
    await runCommand(parsed, {
      log,
      progress: globals.progress,
      signal: stop.signal,
      stdout: print,
    });
    return 0;
  } catch (error) {
    if (error instanceof UsageError) process.stderr.write(error.message);
    else process.stderr.write(`Error: ${describe(stopped ? stop.signal.reason : error)}\n`);
    return stopped || exitStatus(error);
  } finally {
    log?.close();
  }
};

process.exitCode = await main();
