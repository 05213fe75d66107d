/** For an invalid command line: makes sure that nobody is left waiting at a FIFO that it names. */
import type { CommandRow } from '../options/option-row.js';
import { COMMANDS } from './options.js';
import { releaseFifo, releaseSourceFifo } from '../../streams/io/fifo.js';

/** Options whose value some command writes to, as a command line has them. */
const writing = (): ReadonlySet<string> => {
  const names = new Set<string>();
  for (const { options } of Object.values<CommandRow>(COMMANDS)) {
    for (const [name, row] of Object.entries(options)) {
      if (row.file !== 'output') continue;
      for (const long of [name, ...(row.aliases ?? [])]) names.add(`--${long}`);
      if (row.short !== undefined) names.add(`-${row.short}`);
    }
  }
  return names;
};

/** Opens each FIFO briefly, as the command would have. Takes seconds if there is no peer. */
export const unblockFifoPeers = async (argv: readonly string[]): Promise<void> => {
  const outputs = writing();
  const released = argv.map((argument, i) => {
    const joined = /^(--[^=]+)=(.+)$/s.exec(argument) ?? /^(-[A-Za-z])(.+)$/s.exec(argument);
    const [option = '', path = ''] = joined ? joined.slice(1) : [argv[i - 1], argument];
    return outputs.has(option) ? releaseFifo(path) : releaseSourceFifo(path);
  });
  await Promise.all(released);
};
