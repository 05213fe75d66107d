/** OCI layouts in a tar: `oci-archive:FILE[:TAG]`, where FILE may be a pipe or `-`. */
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { TarType, BLOCK_SIZE } from '../../lib/layout/tar.js';
import { alignUp } from '../../lib/layout/align.js';
import { bareHeader } from '../../lib/tar/header.js';
import { indexBytes } from '../../lib/oci/manifest.js';
import { openOutput } from '../io/open-output.js';
import type { OutputOptions } from '../io/output.js';
import { Spool, spoolDirectory } from '../io/spool.js';
import { openArchive, type ArchiveOptions } from './archive-store.js';
import { DigestTee } from './digest-tee.js';
import { blobPath, INDEX, LAYOUT, layoutSource, type LayoutReference } from './layout-source.js';
import { indexWith, LAYOUT_BYTES } from './oci-layout.js';
import type { ImageSource } from './source.js';
import type { ImageTarget } from './target.js';

export const openOciArchive = async (
  file: string,
  wanted: LayoutReference,
  options: ArchiveOptions = {},
): Promise<ImageSource> =>
  layoutSource(nameOf(file, wanted.tag), await openArchive(file, options), wanted);

const nameOf = (file: string, tag: string | undefined): string =>
  `oci-archive:${file}${tag === undefined ? '' : `:${tag}`}`;

/**
 * Writes an archive front to back. A blob whose size is not known in advance is spooled, since a
 * tar says the size first: 16 MiB of it in memory, more in an unnamed file.
 */
export const archiveTarget = async (
  file: string,
  tag: string | undefined,
  { signal, fsync }: Pick<OutputOptions, 'signal' | 'fsync'> = {},
): Promise<ImageTarget> => {
  const output = await openOutput(file, { signal, fsync });
  const directory = file === '-' ? tmpdir() : spoolDirectory(file);
  const stored = new Map<string, number>(); // sizes by digest
  let writing: Promise<unknown> = Promise.resolve();
  let complete = false;

  /** Appends a file when those before it are complete. */
  const append = (name: string, size: number, pieces: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    const work = writing.then(async () => {
      await output.write([bareHeader(name, TarType.FILE, 0o644, size)]);
      for await (const piece of pieces) await output.write([piece]);
      const padding = alignUp(size, BLOCK_SIZE) - size;
      if (padding > 0) await output.write([Buffer.alloc(padding)]);
    });
    writing = work;
    work.catch(() => undefined); // reported to whoever appends
    return work;
  };
  const appendBlob = async (
    digest: string,
    size: number,
    pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  ) => {
    if (stored.has(digest)) return;
    stored.set(digest, size);
    await append(blobPath(digest), size, pieces);
  };
  await output.write([
    bareHeader('blobs', TarType.DIRECTORY, 0o755, 0),
    bareHeader('blobs/sha256', TarType.DIRECTORY, 0o755, 0),
  ]);
  await append(LAYOUT, LAYOUT_BYTES.length, [LAYOUT_BYTES]);

  return {
    name: nameOf(file, tag),
    has: ({ digest }) => Promise.resolve(stored.has(digest)),
    async put(bytes, options) {
      if (options.secret) output.restrict?.();
      const tee = new DigestTee(options);
      const spool = new Spool(directory);
      try {
        for await (const piece of tee.pass(bytes)) await spool.write([piece]);
        const { digest, size } = tee.result;
        await appendBlob(digest, size, spool.read());
      } finally {
        await spool.close();
      }
      return tee.result;
    },
    async putManifest(bytes, mediaType, reference) {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const image = { mediaType, digest, size: bytes.length };
      await appendBlob(digest, bytes.length, [bytes]);
      if (!reference) return image;
      const index = indexBytes(indexWith([], image, reference.tag ?? tag));
      await append(INDEX, index.length, [index]);
      await output.write([Buffer.alloc(2 * BLOCK_SIZE)]);
      await output.finish();
      complete = true;
      return image;
    },
    async close() {
      if (!complete) await output.abandon();
    },
  };
};
