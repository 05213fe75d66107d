/** The end of a stream that is not needed any more. */
import { finished, type Readable, type Writable } from 'node:stream';

/** Destroys a stream and waits until it has given back what it holds. */
export const gone = (stream: Readable | Writable): Promise<void> =>
  new Promise(resolve => {
    if (stream.closed) {
      resolve();
      return;
    }
    finished(stream, () => undefined); // its failure is known by now
    stream.once('close', resolve);
    stream.destroy();
  });
