/** Layers as streams of bytes, each with its result at the end: what `zlib.createGzip()` is to gzip. */
import { RAFS_VERSIONS } from '../../lib/model/version.js';
import { Writable } from 'node:stream';
import {
  createImage,
  type CreatedImage,
  type LayerBase,
  type LayerFormat,
} from './create-image.js';
import { byteDuplex, type ByteDuplex } from '../io/byte-stream.js';
import type { RunOptions } from './run-options.js';

/** Options of {@link rafs}. */
export interface RafsOptions extends LayerFormat, LayerBase, RunOptions {}

/**
 * A Duplex that turns the bytes of a tar (plain, or compressed with gzip or zstd) into those of a
 * blob with its bootstrap and, in v6, a table of contents: what `rafs-stream < layer.tgz` writes.
 *
 * @example
 * ```js
 * import { createReadStream, createWriteStream } from 'node:fs';
 * import { pipeline } from 'node:stream/promises';
 * import { rafs } from 'rafs-stream';
 *
 * const blob = rafs({ chunkSize: 0x10000 });
 * await pipeline(createReadStream('layer.tar.gz'), blob, createWriteStream('layer.blob'));
 * const { blobs, entryCount } = await blob.result;
 * console.log(blobs.length, entryCount);
 * ```
 */
export const rafs = ({ signal, ...options }: RafsOptions = {}): ByteDuplex<CreatedImage> =>
  byteDuplex(
    ({ input, output, signal: stop }) =>
      createImage({
        ...options,
        type: 'tar-rafs',
        source: input,
        blob: output,
        inlineBootstrap: true,
        toc: RAFS_VERSIONS[options.fsVersion ?? 6].hasToc,
        signal: stop,
      }),
    signal,
  );

/** Options of {@link zran}. */
export interface ZranOptions
  extends
    Pick<LayerFormat, 'chunkSize' | 'owners' | 'whiteouts'>,
    Pick<LayerBase, 'parent' | 'chunkDict' | 'prefetch'>,
    RunOptions {}

/**
 * A Duplex that turns the bytes of a gzipped layer into those of a small blob with which the layer
 * is an image as it is: tables that say where in the gzip to start, the bootstrap, and a table of
 * contents. The image's blob is the layer itself, named by its sha256.
 *
 * @example
 * ```js
 * import { createReadStream, createWriteStream } from 'node:fs';
 * import { pipeline } from 'node:stream/promises';
 * import { zran } from 'rafs-stream';
 *
 * const tables = zran();
 * await pipeline(createReadStream('layer.tar.gz'), tables, createWriteStream('layer.zran'));
 * console.log((await tables.result).blobs.length);
 * ```
 */
export const zran = ({ signal, ...options }: ZranOptions = {}): ByteDuplex<CreatedImage> =>
  byteDuplex(
    ({ input, output, signal: stop }) =>
      createImage({
        ...options,
        type: 'targz-ref',
        source: input,
        blob: output,
        inlineBootstrap: true,
        toc: true,
        signal: stop,
      }),
    signal,
  );

/** Options of {@link tarfs}. */
export interface TarfsOptions
  extends
    Pick<LayerFormat, 'chunkSize' | 'owners' | 'whiteouts' | 'blobId'>,
    Pick<LayerBase, 'prefetch'>,
    RunOptions {
  /** where the tar goes that a compressed source expands to, which is the image's blob */
  tar?: Writable;
}

/**
 * A Duplex that turns the bytes of a tar into those of a bootstrap with which the tar is an image
 * as it is.
 *
 * @example
 * ```js
 * import { createReadStream, createWriteStream } from 'node:fs';
 * import { pipeline } from 'node:stream/promises';
 * import { tarfs } from 'rafs-stream';
 *
 * const bootstrap = tarfs({ tar: createWriteStream('layer.tar') });
 * await pipeline(createReadStream('layer.tar.gz'), bootstrap, createWriteStream('layer.boot'));
 * const [id] = (await bootstrap.result).blobs;
 * console.log(id?.length);
 * ```
 */
export const tarfs = ({ signal, tar, ...options }: TarfsOptions = {}): ByteDuplex<CreatedImage> =>
  byteDuplex(
    ({ input, output, signal: stop }) =>
      createImage({
        ...options,
        type: 'tar-tarfs',
        source: input,
        blob: tar ?? nowhere(),
        bootstrap: output,
        signal: stop,
      }),
    signal,
  );

const nowhere = (): Writable => new Writable({ write: (_bytes, _encoding, done) => done() });
