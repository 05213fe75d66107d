/** Verifies a bootstrap and, if its blobs are available, everything in them. */
import { isDigestName } from '../../lib/blob/blob-digest.js';
import { verify } from '../../lib/bootstrap/verify.js';
import { RafsError } from '../../lib/errors.js';
import type { Compressor } from '../../lib/layout/compressors.js';
import type { RafsVersion } from '../../lib/model/version.js';
import {
  backendLocation,
  readConfig,
  type BackendValues,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import { checkImage } from '../../streams/image/check-image.js';
import { readImage, type Image } from '../../streams/image/read-image.js';
import type { Run } from '../cli/context.js';
import { chunkLine, inodeLine, validText } from '../console/image-text.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { TextBuffer, type CommandIo } from '../console/text-buffer.js';

export interface CheckOptions {
  /** a bootstrap, or a blob with one inlined */
  bootstrap: string;
  /** directory of blobs, named by their ids: their data are compared with the bootstrap */
  blobDir?: string | undefined;
  /** configuration file; the blobs it leads to are read if it turns validation on */
  config?: string | undefined;
  /** a storage of blobs, whose data are read too */
  backend?: BackendValues;
  verbose?: boolean;
  /** fail for what is missing or not proven */
  strict?: boolean;
  /** the sha256 that the bootstrap's file must have, in hex */
  sha256?: string | undefined;
  /** ids of blobs were given, and need not be their sha256 */
  anyBlobId?: boolean;
  /** blobs of `config`, and data beside an inlined bootstrap, may be read; default: true */
  blobsAccessible?: boolean;
}

/** What `--output-json` writes about a loaded image. */
export interface ImageResult {
  bootstrap: string;
  blobs: readonly string[];
  fsVersion: RafsVersion;
  compressor: Compressor;
}

export const run: Run<'check'> = async (call, context) => {
  const { values, positionals } = call;
  if (values.source !== undefined) {
    const { compare } = await import('./compare.js');
    return compare(call, context);
  }
  const { config, 'blob-dir': blobDir, 'output-json': json } = values;
  const { verbose, strict, 'any-blob-id': anyBlobId } = values;
  const sha256 = values.sha256?.replace(/^sha256:/, '').toLowerCase();
  const bootstrap = values.bootstrap ?? positionals[0]!; // the parser requires one of them
  // the old spelling, --bootstrap, never looks at data
  const blobsAccessible = values.bootstrap === undefined;
  const flags = { verbose, strict, anyBlobId, blobsAccessible };
  const options = { bootstrap, blobDir, config, backend: values, sha256, ...flags };
  const result = await check(options, context);
  if (json !== undefined) writeOutputJson(json, outputJson(result, { pretty: false }), context);
};

export const check = async (
  options: CheckOptions,
  io: CommandIo & { signal?: AbortSignal },
): Promise<ImageResult> => {
  const { bootstrap: path, verbose = false, strict, sha256, anyBlobId } = options;
  if (sha256 !== undefined && !isDigestName(sha256)) {
    throw new RafsError('USAGE', `--sha256 takes 64 hex digits, got '${sha256}'`);
  }
  const { log, signal } = io;
  const image = await readImage(path);
  const { bootstrap } = image;
  const { blobs, fsVersion, compressor } = await checkImage(image, {
    blobs: () => blobLocation(options, image),
    ...{ strict, sha256, anyBlobId, log, signal },
  });
  // everything is verified before anything is printed
  const out = new TextBuffer(io);
  if (verbose) {
    for (const visit of verify(bootstrap)) {
      await out.write(inodeLine(bootstrap, visit));
      if (visit.inode.type !== 'file') continue;
      for (const chunk of bootstrap.chunks(visit.inode)) await out.write(chunkLine(chunk));
    }
  }
  await out.write(validText(bootstrap));
  await out.flush();
  return { bootstrap: path, blobs, fsVersion, compressor };
};

/** Where to read blobs from; undefined if they are not to be read. */
const blobLocation = async (
  { blobDir, config, backend, blobsAccessible = true }: CheckOptions,
  { inlined, path }: Image,
): Promise<BlobLocation | undefined> => {
  const storage = backend && (await backendLocation(backend));
  if (storage) return storage;
  if (blobDir !== undefined) return { blobDir };
  if (config !== undefined) {
    const { validate, ...place } = await readConfig(config);
    if (validate && blobsAccessible) return place;
  }
  return inlined && blobsAccessible ? { blobFile: path } : undefined;
};
