/** What the entry point passes to a command. */
import type { CommandIo } from '../console/text-buffer.js';
import type { Log } from '../console/log.js';
import type { ProgressMode } from '../console/progress.js';
import type { Call } from './command-line.js';
import type { CommandName } from './options.js';

export interface CommandContext extends CommandIo {
  readonly log: Log;
  readonly progress: ProgressMode;
  /** have every file on the disk before it gets its name */
  readonly fsync: boolean;
  /** aborted when the user or the system asks us to stop */
  readonly signal: AbortSignal;
}

/** What the file of a command exports as `run`. */
export type Run<Name extends CommandName> = (
  call: Call<Name>,
  context: CommandContext,
) => Promise<void>;
