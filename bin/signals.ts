/**
 * Signals that stop the program: noted from its first moment on, before anything is loaded that
 * could handle them.
 */
import { writeSync } from 'node:fs';

const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Calls `stop` with why the program is to stop, and the status to end with; it alone is called. */
export const onStop = (stop: (reason: Error, status: number) => void): void => {
  for (const [name, number] of Object.entries(NUMBERS)) {
    // the program's start and its bundled rest have a copy of this file each
    process.removeAllListeners(name);
    process.on(name, () => stop(new Error(`stopped by ${name}`), 128 + number));
  }
};

/** Ends the program with one line. */
export const stopAtOnce = ({ message }: Error, status: number): void => {
  try {
    writeSync(2, `Error: ${message}\n`);
  } catch {
    // nobody reads it
  }
  process.exit(status);
};
