/** Serves the block device of an image over the NBD protocol, until it is told to stop. */
import { imageUuid, withUuid } from '../../lib/device/image-uuid.js';
import { once } from 'node:events';
import { blockMap } from '../../lib/device/block-map.js';
import { describe } from '../../lib/errors.js';
import { openBlockReader } from '../../streams/device/block-reader.js';
import type { ReaderAt } from '../../streams/io/reader-at.js';
import { nbdServer, type NbdAddress } from '../../streams/nbd/server.js';
import { givenLocation, openBlob, openTables } from '../../streams/image/blob-location.js';
import type { Run } from '../cli/context.js';
import { readImage } from '../../streams/image/read-image.js';
import type { Values } from '../cli/options.js';

/** Preferred size of clients' reads: a page, though a block of a Tarfs image is an eighth of it. */
const PREFERRED_SIZE = 4096;

/** How many distinct errors are remembered, so that each is logged once. */
const MOST_SAID = 1000;

/** Prints the URI for clients once they can connect. Returns when the signal comes. */
export const run: Run<'nbd'> = async ({ values }, context) => {
  const { log, signal } = context;
  const from = await readImage(values.bootstrap);
  const { bootstrap } = from;
  const image = values.uuid ? withUuid(from.image, imageUuid(from.image)) : from.image;
  const { config, 'blob-dir': blobDir } = values;
  const place = (await givenLocation({ backend: values, blobDir, config }))!; // one is required
  const open = (index: number): Promise<ReaderAt> => openBlob(bootstrap.blobs[index]!, place);
  const map = blockMap(bootstrap, image.length);
  const device = await openBlockReader({
    bootstrap,
    image,
    map,
    open,
    openTables: index => openTables(bootstrap.blobs[index]!, place, from),
    cacheSize: values['cache-size'],
  });
  for (const { blob } of map.blobs) {
    // a missing blob may still come: until then reads of it fail
    const found = await open(blob.index).catch((error: unknown) => log.warn(describe(error)));
    await found?.close();
  }
  try {
    const said = new Set<string>();
    const server = nbdServer({
      device,
      blockSize: PREFERRED_SIZE,
      onReadError(error) {
        // a client may repeat a failing read a thousand times
        const line = describe(error);
        if (said.has(line)) return;
        if (said.size === MOST_SAID) said.clear();
        said.add(line);
        log.error(line);
      },
      onClientError: error => log.info(`a client was disconnected: ${describe(error)}`),
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

const addressOf = ({ socket, port }: Values<'nbd'>): NbdAddress =>
  // the parser requires one of them
  socket === undefined ? { port: port! } : { socket };
