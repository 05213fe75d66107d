/** Where in its file the bootstrap of an image lies. */
import { endsSection, sectionsOfTail, tailSize, type BlobSection } from '../../lib/blob/toc.js';
import { endsChunkInfo } from '../../lib/blob/chunk-info-table.js';
import type { BootstrapExtent } from '../../lib/bootstrap/extent.js';
import type { Version } from '../../lib/bootstrap/versions.js';
import { HEAD_SIZE, versionAt } from '../../lib/bootstrap/parse.js';
import { corrupt, RafsError } from '../../lib/errors.js';
import { Section } from '../../lib/layout/blob.js';
import type { ReaderAt } from '../io/reader-at.js';

export interface BootstrapPlace {
  section: BlobSection;
  /** the file is a blob with a bootstrap in it */
  inlined: boolean;
}

/**
 * A blob says at its end where its bootstrap is, and what it starts with means nothing: the data of
 * its first file, say, which may be a bootstrap too. Only a file that is nothing but a bootstrap, or
 * the disk image of one, is read from its start. A file that could be both is refused.
 */
export const findBootstrap = async (source: ReaderAt): Promise<BootstrapPlace> => {
  const { size } = source;
  const head = await source.read(0, Math.min(HEAD_SIZE, size));
  const tail = await source.read(size - tailSize(size), tailSize(size));
  const version = versionAt(head);
  const sections = sectionsOfTail(tail, size);
  const section = sections?.find(({ name }) => name === Section.BOOT);
  if (section) {
    const extent = version && (await extentOf(source, head, version));
    if (!extent?.isWhole) return { section, inlined: true };
    throw corrupt('the file can be read both as a bootstrap and as a blob with another one in it');
  }
  if (endsSection(tail) || endsChunkInfo(tail)) {
    throw corrupt('the file is a blob that has no bootstrap in it');
  }
  if (!version) throw corrupt('invalid RAFS superblock');
  const extent = await extentOf(source, head, version);
  if (extent && !extent.isWhole && extent.size < size) {
    throw corrupt(
      `the bootstrap at the start of the file has ${extent.size} bytes, the file ${size}`,
    );
  }
  const length = Math.min(extent?.size ?? size, size);
  return { section: wholeSection(length), inlined: false };
};

const wholeSection = (size: number): BlobSection => ({
  name: Section.BOOT,
  offset: 0,
  size,
  compressor: 'none',
  uncompressedSize: size,
});

const extentOf = async (
  source: ReaderAt,
  head: Buffer,
  { extent }: Version,
): Promise<BootstrapExtent | undefined> => {
  try {
    const search = extent(head, source.size);
    let step = search.next();
    while (!step.done) {
      const { offset, size } = step.value;
      step = search.next(await source.read(offset, size));
    }
    return step.value;
  } catch (error) {
    if (error instanceof RafsError) return undefined; // parsing it says what is wrong
    throw error;
  }
};
