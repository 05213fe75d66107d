/** OCI layouts in a directory: `oci:DIRECTORY[:TAG]`. */
import { createHash } from 'node:crypto';
import { mkdir, rmdir, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { Annotation } from '../../lib/oci/annotations.js';
import type { Descriptor } from '../../lib/oci/descriptor.js';
import { toJson } from '../../lib/oci/json.js';
import { indexBytes, parseManifest } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { RafsError } from '../../lib/errors.js';
import { openOutput, openOutputInDirectory } from '../io/open-output.js';
import type { OutputOptions } from '../io/output.js';
import { readSmallFile } from '../io/small-file.js';
import { DigestTee } from './digest-tee.js';
import { directoryStore } from './file-store.js';
import { blobPath, INDEX, LAYOUT, layoutSource, type LayoutReference } from './layout-source.js';
import type { ImageSource } from './source.js';
import type { ImageTarget } from './target.js';

export const openLayout = (directory: string, wanted: LayoutReference): ImageSource =>
  layoutSource(shownLayout(directory, wanted), directoryStore(directory), wanted);

const shownLayout = (directory: string, { tag, digest }: LayoutReference): string =>
  `oci:${directory}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;

export const LAYOUT_BYTES = toJson({ imageLayoutVersion: '1.0.0' });

/**
 * Adds an image to a layout, which is made if it is not there. A blob gets its name when it is
 * complete; what was added goes again if no image comes to name it.
 */
export const layoutTarget = async (
  directory: string,
  tag: string | undefined,
  { fsync }: Pick<OutputOptions, 'fsync'> = {},
): Promise<ImageTarget> => {
  const made: string[] = []; // directories and files, in order
  const makeDirectory = async (folder: string): Promise<void> => {
    // mkdir tells the first one that it made, and makes all below
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    const below = path.relative(first, folder).split(path.sep).filter(Boolean);
    made.push(first, ...below.map((_, i) => path.join(first, ...below.slice(0, i + 1))));
  };
  const blobs = path.join(directory, 'blobs', 'sha256');
  await makeDirectory(blobs);
  const isThere = async (file: string): Promise<number | undefined> => {
    const found = await stat(file).catch(() => undefined);
    return found?.isFile() ? found.size : undefined;
  };
  const store = async (name: string, bytes: Buffer): Promise<void> => {
    const file = path.join(directory, name);
    const isNew = (await isThere(file)) === undefined;
    const output = await openOutput(file, { mode: 0o644, fsync });
    try {
      await output.write([bytes]);
      await output.finish();
    } catch (error) {
      await output.abandon();
      throw error;
    }
    if (isNew) made.push(file);
  };

  let complete = false;
  return {
    name: shownLayout(directory, { tag }),
    async has({ digest, size }) {
      const found = await isThere(path.join(directory, blobPath(digest)));
      return found !== undefined && (size === undefined || found === size);
    },
    async put(bytes, options) {
      const tee = new DigestTee(options);
      const output = await openOutputInDirectory(blobs, { mode: 0o644, fsync });
      if (options.secret) output.restrict?.();
      try {
        for await (const piece of tee.pass(bytes)) await output.write([piece]);
        const name = tee.result.digest.slice('sha256:'.length);
        const isNew = (await isThere(path.join(blobs, name))) === undefined;
        const file = await output.finish(name);
        if (isNew && file !== undefined) made.push(file);
      } catch (error) {
        await output.abandon();
        throw error;
      }
      return tee.result;
    },
    async putManifest(bytes, mediaType, reference) {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const stored = { mediaType, digest, size: bytes.length };
      await store(blobPath(digest), bytes);
      if (!reference) return stored;
      await store(LAYOUT, LAYOUT_BYTES);
      await store(INDEX, await withImage(directory, stored, reference.tag ?? tag));
      complete = true;
      return stored;
    },
    async close() {
      if (complete) return;
      for (const one of made.reverse()) {
        await unlink(one).catch(() => rmdir(one).catch(() => undefined)); // others may use it
      }
    },
  };
};

/** The index of a layout with one more image, which takes the place of one of the same name. */
const withImage = async (
  directory: string,
  image: Descriptor,
  tag: string | undefined,
): Promise<Buffer> => {
  const file = path.join(directory, INDEX);
  const bytes = await readSmallFile(file).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  const before = bytes && parseManifest({ bytes, mediaType: MediaType.INDEX, digest: INDEX });
  if (before && before.kind !== 'index') {
    throw new RafsError('CORRUPT', 'expected the index of a layout', { file });
  }
  return indexBytes(indexWith(before?.manifests ?? [], image, tag, before?.annotations));
};

/** The entries of an index with one more image. */
export const indexWith = (
  manifests: readonly Descriptor[],
  image: Descriptor,
  tag: string | undefined,
  annotations?: Record<string, string>,
): { manifests: Descriptor[]; annotations?: Record<string, string> } => {
  const nameOf = (one: Descriptor): string | undefined => one.annotations?.[Annotation.REF_NAME];
  const others = manifests.filter(
    one => nameOf(one) !== tag && !(one.digest === image.digest && nameOf(one) === undefined),
  );
  const named =
    tag === undefined ? image : { ...image, annotations: { [Annotation.REF_NAME]: tag } };
  return { manifests: [...others, named], ...(annotations ? { annotations } : {}) };
};
