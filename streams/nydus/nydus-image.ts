/** A Nydus image in a source: its bootstrap, and where the data of its blobs are. */
import { pipeline } from 'node:stream/promises';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { RafsError } from '../../lib/errors.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import type { EntryPart, DataPart, EndPart } from '../../lib/model/parts.js';
import { Annotation } from '../../lib/oci/annotations.js';
import { BOOTSTRAP_PATH } from '../../lib/oci/bootstrap-layer.js';
import type { Descriptor } from '../../lib/oci/descriptor.js';
import type { Manifest } from '../../lib/oci/manifest.js';
import type { Batch } from '../batch.js';
import type { ReaderAt } from '../io/reader-at.js';
import { entriesFromTar } from '../pipelines.js';
import type { ImageSource } from '../transport/source.js';
import { openLayerSource } from '../transport/layer-source.js';
import { openBlob, type BlobLocation } from '../image/blob-location.js';
import { sourceReader } from '../transport/source-reader.js';

export const isNydus = ({ layers }: Manifest): boolean =>
  layers.at(-1)?.annotations?.[Annotation.BOOTSTRAP] !== undefined;

/** Most bytes of a bootstrap: it has to fit in memory. */
const MOST_BOOTSTRAP = 0x7fff_ffff;

/** Old images have the bootstrap at the top. */
const BOOTSTRAP_PATHS: ReadonlySet<string> = new Set([BOOTSTRAP_PATH, 'image.boot']);

/** The bootstrap in the last layer of an image. */
export const readBootstrapLayer = async (
  source: ImageSource,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<Bootstrap> => parseBootstrap(await readBootstrapBytes(source, manifest, signal));

/** The same before it is parsed. */
export const readBootstrapBytes = async (
  source: ImageSource,
  { layers }: Manifest,
  signal: AbortSignal,
): Promise<Buffer> => {
  const layer = layers.at(-1);
  if (!layer) throw new RafsError('CORRUPT', 'the image has no layers', { image: source.name });
  const input = await openLayerSource(source, layer, signal);
  let pieces: Buffer[] | undefined;
  let found: Buffer | undefined;
  const collect = async (parts: AsyncIterable<Batch<TarPart>>): Promise<void> => {
    for await (const batch of parts) {
      for (const part of batch) {
        if (part.kind === 'entry') {
          pieces = BOOTSTRAP_PATHS.has(part.entry.path) ? [] : undefined;
          if (pieces && part.entry.size > MOST_BOOTSTRAP) {
            throw new RafsError('LIMIT', `a bootstrap of ${part.entry.size} bytes is too large`);
          }
        } else if (part.kind === 'data') pieces?.push(part.bytes);
        else if (pieces) {
          found = Buffer.concat(pieces);
          pieces = undefined;
        }
      }
    }
  };
  const { compression } = input;
  await pipeline(input.stream, entriesFromTar({ compression }), collect, { signal });
  if (found) return found;
  throw new RafsError('CORRUPT', `the last layer has no ${BOOTSTRAP_PATH}`, {
    layer: layer.digest,
  });
};

type TarPart = EntryPart | DataPart | EndPart;

export interface OpenBlobs {
  blobs: Map<number, ReaderAt>;
  /** for blobs that are unchanged layers, what has their tables */
  tables: Map<number, ReaderAt>;
  close(): Promise<void>;
}

/**
 * Opens all blobs that a bootstrap names, out of the image that it belongs to.
 *
 * @param elsewhere where blobs are that its manifest does not name
 */
export const openBlobs = async (
  source: ImageSource,
  { layers }: Manifest,
  bootstrap: Bootstrap,
  signal: AbortSignal,
  elsewhere?: BlobLocation,
): Promise<OpenBlobs> => {
  const blobs = new Map<number, ReaderAt>();
  const tables = new Map<number, ReaderAt>();
  for (const blob of bootstrap.blobs) {
    const digest = `sha256:${blob.id}`;
    if (blob.features & BlobFeature.SEPARATE) {
      const layer = layers.find(one => one.annotations?.[Annotation.REFERENCE] === digest);
      if (!layer) {
        throw new RafsError('CORRUPT', 'no layer refers to a blob of the image', { blob: blob.id });
      }
      tables.set(blob.index, sourceReader(source, layer, signal));
      blobs.set(blob.index, sourceReader(source, { digest, size: blob.compressedSize }, signal));
      continue;
    }
    const layer = layers.find(one => one.digest === digest);
    if (!layer && elsewhere) {
      blobs.set(blob.index, await openBlob(blob, elsewhere));
      continue;
    }
    const found: Pick<Descriptor, 'digest' | 'size'> = layer ?? {
      digest,
      size: blob.compressedSize,
    };
    blobs.set(blob.index, sourceReader(source, found, signal));
  }
  return {
    blobs,
    tables,
    async close() {
      await Promise.all([...blobs.values(), ...tables.values()].map(reader => reader.close()));
    },
  };
};
