/**
 * Log records in the format of nydus-image, on stderr or in a file.
 *
 * Records are written synchronously: each is out before the process can end, and nothing is queued.
 * A record that cannot be written is lost; that never fails the command.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { extname } from 'node:path';
import { printable } from '../../lib/errors.js';
import { colored, paint, type Style } from './color.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  error(message: string): void;
  warn(message: string): void;
  info(message: string): void;
  debug(message: string): void;
  trace(message: string): void;
  /** Called before a record is written, so that whoever has drawn on the terminal can clear it. */
  beforeRecord: (() => void) | undefined;
  /** Closes the log file, if there is one. */
  close(): void;
}

/** Where records go, such as process.stderr. */
export interface LogStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface LogOptions {
  /** most verbose level to write, unless RUST_LOG is stricter */
  level: LogLevel;
  /** path of a log file; `.log` is added to a name without extension */
  file?: string | undefined;
  /** instead of stderr */
  stream?: LogStream;
  /** instead of process.env: RUST_LOG, NO_COLOR */
  env?: Readonly<Record<string, string | undefined>>;
  /** instead of the clock: milliseconds since 1970, with fractions */
  now?: () => number;
}

const STYLES: Readonly<Record<LogLevel, Style | undefined>> = {
  error: 'red',
  warn: 'yellow',
  info: undefined,
  debug: 'gray',
  trace: 'gray',
};

/**
 * Makes a log for this process. Throws the system's error if the file cannot be opened.
 */
export const createLog = ({
  level,
  file,
  stream,
  env = process.env,
  now = clock,
}: LogOptions): Log => {
  const fd = file === undefined ? undefined : openSync(logFile(file), 'a');
  const sink = stream && fd === undefined ? stream : fdStream(fd ?? 2);
  const isTty = fd === undefined && (stream ? stream.isTTY : process.stderr.isTTY);
  const color = colored(isTty, env);

  const least = ORDER.indexOf(strictest(level, rustLog(env.RUST_LOG)));
  const record =
    (method: LogLevel) =>
    (message: string): void => {
      if (ORDER.indexOf(method) < least) return;
      log.beforeRecord?.();
      const style = STYLES[method];
      const text = `[${timestamp(now())}] ${method.toUpperCase()} ${printable(message, { lines: true })}`;
      try {
        sink.write(`${color && style ? paint(style, text) : text}\n`);
      } catch {
        // the reader is gone or the disk is full: there is nowhere to report that
      }
    };
  const log: Log = {
    error: record('error'),
    warn: record('warn'),
    info: record('info'),
    debug: record('debug'),
    trace: record('trace'),
    beforeRecord: undefined,
    close() {
      if (fd !== undefined) closeSync(fd);
    },
  };
  return log;
};

export const logFile = (path: string): string => (extname(path) === '' ? `${path}.log` : path);

const ORDER: readonly string[] = [...LOG_LEVELS, 'silent'];

const strictest = (a: LogLevel, b: LogLevel | 'silent' | undefined): LogLevel | 'silent' =>
  b !== undefined && ORDER.indexOf(b) > ORDER.indexOf(a) ? b : a;

/** The level in RUST_LOG for everything; filters for single modules do not apply to us. */
const rustLog = (filter: string | undefined): LogLevel | 'silent' | undefined => {
  for (const item of (filter ?? '').split(',')) {
    const word = item.trim().toLowerCase();
    const level = word === 'off' ? 'silent' : LOG_LEVELS.find(name => name === word);
    if (level) return level;
  }
  return undefined;
};

/** The clock with fractional milliseconds: `performance` has it too, but takes 5 ms to load. */
const clock = (): number => startedAt + Number(process.hrtime.bigint()) / 1e6;
const startedAt = Date.now() - Number(process.hrtime.bigint()) / 1e6;

/** Local time with microseconds and its UTC offset. */
const timestamp = (milliseconds: number): string => {
  const micros = Math.floor(milliseconds * 1000);
  const date = new Date(Math.floor(micros / 1000));
  const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
  const east = -date.getTimezoneOffset();
  const zone = `${east < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(east) / 60))}:${pad(Math.abs(east) % 60)}`;
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time}.${pad(((micros % 1e6) + 1e6) % 1e6, 6)} ${zone}`;
};

/** How long to wait for a full pipe before giving up on a text, in milliseconds. */
const PATIENCE = 2000;

/** Writes to a descriptor until all is written, or cannot be; never throws. */
export const fdStream = (fd: number): LogStream => {
  let patience = PATIENCE;
  return {
    write(text) {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length;) {
        try {
          at += writeSync(fd, bytes, at);
          patience = PATIENCE;
        } catch (error) {
          // stderr may be a non-blocking pipe, and full; a reader that never reads is waited for
          // only once
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || patience <= 0) return;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
          patience -= 5;
        }
      }
    },
  };
};
