/** Serves the block device of an image over the NBD protocol, until it is told to stop. */
import { once } from 'node:events';
import { blockMap } from '../lib/block-map.js';
import { describe } from '../lib/errors.js';
import { openBlockReader } from '../streams/block-reader.js';
import { nbdServer, type NbdAddress } from '../streams/nbd-server.js';
import { backendPlace, openBlob, readConfig, type BlobPlace } from './blob-place.js';
import type { CommandContext } from './command.js';
import { openImage } from './open-image.js';
import type { Values } from './options.js';

/** What clients are told to read in: a page, of which Tarfs images have eighths as blocks. */
const PREFERRED_SIZE = 4096;

/** Prints the URI for clients when they can connect. Returns when the signal comes. */
export const nbd = async (values: Values<'nbd'>, context: CommandContext): Promise<void> => {
  const { log, signal } = context;
  const { bootstrap, image } = await openImage(values.bootstrap);
  const place = await placeOf(values);
  const device = await openBlockReader({
    bootstrap,
    image,
    map: blockMap(bootstrap, image.length),
    open: index => openBlob(bootstrap.blobs[index]!, place),
    cacheSize: values['cache-size'],
  });
  try {
    let last = '';
    const server = nbdServer({
      device,
      blockSize: PREFERRED_SIZE,
      onReadError(error) {
        // a client may ask a thousand times
        const line = describe(error);
        if (line !== last) log.error(line);
        last = line;
      },
      onClientError: error => log.info(`a client was left alone: ${describe(error)}`),
    });
    try {
      const uri = await server.listen(addressOf(values));
      await context.stdout(`${uri}\n`);
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await server.close();
    }
  } finally {
    await device.close();
  }
};

const placeOf = async (values: Values<'nbd'>): Promise<BlobPlace> => {
  const storage = await backendPlace(values);
  if (storage) return storage;
  // the parser requires one of them
  return values.config === undefined ? { blobDir: values['blob-dir']! } : readConfig(values.config);
};

const addressOf = ({ socket, port }: Values<'nbd'>): NbdAddress =>
  // the parser requires one of them
  socket === undefined ? { port: port! } : { socket };
