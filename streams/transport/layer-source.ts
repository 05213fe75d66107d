/** The bytes of a layer as its source stores them, compared with the digest while they are read. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { located, RafsError } from '../../lib/errors.js';
import { account } from '../../lib/memory/allocate.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { parseDigest, type Descriptor } from '../../lib/oci/descriptor.js';
import type { Batch } from '../batch.js';
import { sniff, SNIFFED_SIZE, type Compression } from '../layer/decompress.js';
import type { ImageSource } from './source.js';

export interface LayerSource {
  /** as its first bytes show */
  compression: Compression;
  /** batches of bytes; fails with MISMATCH at the end if they are not those of the digest */
  stream: Readable;
  readonly bytesRead: number;
}

export const openLayerSource = async (
  source: ImageSource,
  layer: Descriptor,
  signal: AbortSignal,
): Promise<LayerSource> => {
  const at = { layer: layer.digest };
  const stream = await source.open(layer, { signal });
  // whatever a source gives is bytes
  const pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const ahead: Buffer[] = [];
  let aheadSize = 0;
  let compression: Compression;
  try {
    while (aheadSize < SNIFFED_SIZE) {
      const next = await pieces.next();
      if (next.done) break;
      ahead.push(next.value);
      aheadSize += next.value.length;
    }
    compression = sniff(Buffer.concat(ahead));
  } catch (error) {
    stream.destroy();
    throw located(error, at);
  }
  const { algorithm, hex } = parseDigest(layer.digest);
  const hash = createHash(algorithm);
  let bytesRead = 0;

  const pass = (bytes: Buffer): Batch<BytesPart> => {
    const part: BytesPart = { kind: 'bytes', offset: bytesRead, bytes };
    bytesRead += bytes.length;
    if (bytesRead > layer.size) {
      throw new RafsError('MISMATCH', `expected a layer of ${layer.size} bytes, got more`, at);
    }
    hash.update(bytes);
    account(bytes.length);
    return [part];
  };
  async function* batches(): AsyncGenerator<Batch<BytesPart>> {
    try {
      for (const bytes of ahead.splice(0)) yield pass(bytes);
      for (;;) {
        const next = await pieces.next();
        if (next.done) break;
        yield pass(next.value);
      }
      if (bytesRead !== layer.size) {
        throw new RafsError(
          'MISMATCH',
          `expected a layer of ${layer.size} bytes, got ${bytesRead}`,
          at,
        );
      }
      const found = hash.digest('hex');
      if (found !== hex)
        throw new RafsError(
          'MISMATCH',
          `expected a layer with ${algorithm} ${hex}, got ${found}`,
          at,
        );
    } catch (error) {
      throw located(error, at);
    } finally {
      stream.destroy();
    }
  }
  return {
    compression,
    stream: Readable.from(batches(), { objectMode: true, highWaterMark: 2 }),
    get bytesRead() {
      return bytesRead;
    },
  };
};
