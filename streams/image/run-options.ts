/** What every function that makes, reads or changes an image accepts besides its own options. */

/** How far some work has come. */
export interface Progress {
  /** bytes read so far; of a compressed layer, compressed ones */
  readonly bytesIn: number;
  /** bytes written so far */
  readonly bytesOut: number;
  /** files, directories and other entries seen so far */
  readonly files: number;
  /** what `bytesIn` will be in the end, if that is known */
  readonly bytesExpected: number | undefined;
}

/** Where sentences for people go: `console` will do. */
export interface Messages {
  info(message: string): void;
  warn(message: string): void;
}

export interface RunOptions {
  /** ends the work: streams are destroyed, files and threads closed, nothing half-written stays */
  signal?: AbortSignal | undefined;
  /** called at the start, ten times a second and at the end */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** have every file on the disk before it gets its name; default: true */
  fsync?: boolean | undefined;
  /** told what is worth knowing and no failure; default: nobody is */
  log?: Messages | undefined;
}

export const SILENT: Messages = { info() {}, warn() {} };

/** Counters for what does not know beforehand how much there is to read. */
export const newCounters = () => ({
  bytesIn: 0,
  bytesOut: 0,
  files: 0,
  bytesExpected: undefined,
});

/** The given options of a call to Node that takes a signal. */
export const withSignal = (signal: AbortSignal | undefined): { signal?: AbortSignal } =>
  signal ? { signal } : {};

const INTERVAL = 100; // milliseconds

/** Does the work, and meanwhile reports what the counters say. */
export const reporting = async <T>(
  onProgress: RunOptions['onProgress'],
  counters: Progress,
  work: () => Promise<T>,
): Promise<T> => {
  if (!onProgress) return work();
  const report = (): void => {
    const { bytesIn, bytesOut, files, bytesExpected } = counters;
    onProgress({ bytesIn, bytesOut, files, bytesExpected });
  };
  report();
  const timer = setInterval(report, INTERVAL);
  timer.unref();
  try {
    return await work();
  } finally {
    clearInterval(timer);
    report();
  }
};
