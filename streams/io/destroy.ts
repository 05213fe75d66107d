/** Disposal of a stream that is no longer needed. */
import { finished, type Readable, type Writable } from 'node:stream';

/** Destroys a stream and waits until it has released what it holds. */
export const destroyAndWait = (stream: Readable | Writable): Promise<void> =>
  new Promise(resolve => {
    if (stream.closed) {
      resolve();
      return;
    }
    finished(stream, () => undefined); // its failure is known already
    stream.once('close', resolve);
    stream.destroy();
  });
