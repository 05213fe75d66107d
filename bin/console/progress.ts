/**
 * Progress of a pipeline on stderr: a bar for people, lines of JSON for programs.
 *
 * `update` only stores the counters; a timer draws, and never keeps the process alive.
 */
import { fdStream, type Log } from './log.js';

export type ProgressMode = 'auto' | 'bar' | 'json' | 'none';

/** What has passed so far. May be one object that the pipeline keeps changing. */
export interface Counters {
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly files: number;
}

export interface Progress {
  /** Cheap: called for every batch. */
  update(counters: Counters): void;
  /** Ends the display; later calls of any method do nothing. */
  done(): void;
  /** The same, for a command that failed. */
  failed(): void;
  /** Clears the bar until it is next drawn: for use before other output to the terminal. */
  hide(): void;
}

export interface ProgressOptions {
  mode: ProgressMode;
  /** what is being done, shown in front of the bar */
  title: string;
  /** bytes that will come in, if that is known */
  totalIn?: number | undefined;
  /** whether stderr is a terminal; detected by default */
  isTty?: boolean;
  /** instead of stderr */
  write?: (text: string) => void;
  /** instead of the terminal's width */
  columns?: number;
}

const INTERVAL = 200; // milliseconds

const SILENT: Progress = { update() {}, done() {}, failed() {}, hide() {} };

/** How a mode shows progress: along the way, and at the end. */
interface Display {
  draw(counters: Counters, elapsed: number): void;
  end(counters: Counters, elapsed: number, failed: boolean): void;
  hide(): void;
}

const toStderr = (text: string): void => {
  fdStream(2).write(text);
};

export const startProgress = ({
  mode,
  title,
  totalIn,
  isTty = process.stderr.isTTY === true,
  write = toStderr,
  columns = process.stderr.columns || 80,
}: ProgressOptions): Progress => {
  if (mode === 'none' || (mode === 'auto' && !isTty)) return SILENT;
  const display = mode === 'json' ? jsonLines(write) : bar({ title, totalIn, write, columns });
  const started = performance.now();
  const elapsed = (): number => performance.now() - started;

  let counters: Counters = { bytesIn: 0, bytesOut: 0, files: 0 };
  let ended = false;
  const timer = setInterval(() => display.draw(counters, elapsed()), INTERVAL);
  timer.unref();
  const end = (failed: boolean): void => {
    if (ended) return;
    ended = true;
    clearInterval(timer);
    display.end(counters, elapsed(), failed);
  };
  return {
    update(latest) {
      counters = latest;
    },
    done: () => end(false),
    failed: () => end(true),
    hide() {
      if (!ended) display.hide();
    },
  };
};

/** Runs work that reports, and shows what it reports until it ends. */
export const showProgress = async <T>(
  { title, context: { log, progress: mode } }: { title: string; context: ShowContext },
  work: (
    onProgress: (counters: Counters & { bytesExpected: number | undefined }) => void,
  ) => Promise<T>,
): Promise<T> => {
  let shown: Progress | undefined;
  log.beforeRecord = () => shown?.hide();
  try {
    const result = await work(counters => {
      shown ??= startProgress({ mode, title, totalIn: counters.bytesExpected });
      shown.update(counters);
    });
    shown?.done();
    return result;
  } catch (error) {
    shown?.failed();
    throw error;
  }
};

interface ShowContext {
  readonly log: Pick<Log, 'beforeRecord'>;
  readonly progress: ProgressMode;
}

const jsonLines = (write: (text: string) => void): Display => {
  const line = (event: string, { bytesIn, bytesOut, files }: Counters, elapsed: number): void => {
    const record = {
      event,
      bytes_in: bytesIn,
      bytes_out: bytesOut,
      files,
      elapsed_ms: Math.round(elapsed),
    };
    write(`${JSON.stringify(record)}\n`);
  };
  return {
    draw: (counters, elapsed) => line('progress', counters, elapsed),
    end: (counters, elapsed, failed) => line(failed ? 'failed' : 'done', counters, elapsed),
    hide() {},
  };
};

const CLEAR = '\r\x1b[K';

const bar = ({
  title,
  totalIn,
  write,
  columns,
}: {
  title: string;
  totalIn: number | undefined;
  write: (text: string) => void;
  columns: number;
}): Display => {
  let drawn = false;

  const text = ({ bytesIn, bytesOut, files }: Counters, elapsed: number): string => {
    const rate = elapsed > 0 ? (bytesIn / elapsed) * 1000 : 0;
    const facts =
      `${sizeText(bytesIn)} in, ${sizeText(bytesOut)} out, ` +
      `${files} ${files === 1 ? 'file' : 'files'}, ${sizeText(rate)}/s`;
    if (!totalIn) return `${title} ${facts}`;
    const share = Math.min(1, bytesIn / totalIn);
    const full = Math.round(share * BAR_SIZE);
    const shape = '='.repeat(full) + '-'.repeat(BAR_SIZE - full);
    const left = rate > 0 ? duration(Math.max(0, totalIn - bytesIn) / rate) : '?';
    return `${title} [${shape}] ${Math.floor(share * 100)}% ${facts}, ${left} left`;
  };
  const draw = (counters: Counters, elapsed: number): void => {
    write(CLEAR + text(counters, elapsed).slice(0, columns - 1));
    drawn = true;
  };
  return {
    draw,
    end(counters, elapsed, failed) {
      draw(counters, elapsed);
      write(failed ? ' failed\n' : '\n');
    },
    hide() {
      if (drawn) write(CLEAR);
      drawn = false;
    },
  };
};

/** Characters of a bar. */
const BAR_SIZE = 24;

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export const sizeText = (bytes: number): string => {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
};

export const duration = (seconds: number): string => {
  const whole = Math.ceil(seconds);
  const pad = (value: number): string => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
};
