/** For an invalid command line: makes sure that nobody is left waiting at a FIFO that it names. */
import { releaseFifo, releaseSourceFifo } from '../../streams/io/fifo.js';

/** Options whose value is written to; any other FIFO is read. */
const OUTPUTS = new Set([
  ...['-b', '--blob', '-B', '--bootstrap', '--external-blob'],
  ...['--output', '-O', '--output-bootstrap', '-J', '--output-json'],
]);

/** Opens each FIFO briefly, as the command would have. Takes seconds if there is no peer. */
export const unblockFifoPeers = async (argv: readonly string[]): Promise<void> => {
  const released = argv.map((argument, i) => {
    const joined = /^(--[^=]+)=(.+)$/s.exec(argument) ?? /^(-[A-Za-z])(.+)$/s.exec(argument);
    const [option = '', path = ''] = joined ? joined.slice(1) : [argv[i - 1], argument];
    return OUTPUTS.has(option) ? releaseFifo(path) : releaseSourceFifo(path);
  });
  await Promise.all(released);
};
