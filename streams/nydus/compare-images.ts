/** Compares images file by file, as a container would see them: no root, no mount, no disk. */
import { differences, type Difference } from '../../lib/oci/image-tree.js';
import { platformText } from '../../lib/oci/platform.js';
import type { BlobLocation } from '../image/blob-location.js';
import type { ImageSource } from '../transport/source.js';
import { readTree } from './read-tree.js';
import { selectImages, type Platforms } from '../convert/select-images.js';

export interface CompareOptions {
  source: ImageSource;
  target: ImageSource;
  /** where blobs of the target are that its manifest does not name */
  blobs?: BlobLocation;
  /** default: this machine's, where there is a choice */
  platforms?: Platforms;
  signal?: AbortSignal;
  onNotice?: (text: string) => void;
}

export interface Comparison {
  /** names that were compared, of all platforms */
  fileCount: number;
  differences: (Difference & { platform?: string })[];
}

/** Most differences that are listed. */
const MOST_LISTED = 10_000;

/**
 * Compares two images file by file, as a container would see them. Both may be ordinary or Nydus
 * images; of an index of both kinds, the target's Nydus ones.
 *
 * @example
 * ```js
 * import { compareImages, openImageSource } from 'rafs-stream';
 *
 * const [source, target] = [await openImageSource('oci:image:t'), await openImageSource('oci:image:t')];
 * const { fileCount, differences } = await compareImages({ source, target });
 * console.log(fileCount, differences.length);
 * ```
 */
export const compareImages = async ({
  source,
  target,
  blobs,
  platforms = 'host',
  signal = new AbortController().signal,
  onNotice = () => undefined,
}: CompareOptions): Promise<Comparison> => {
  const due = await selectImages(source, { platforms, notice: onNotice });
  const found = await selectImages(target, { platforms, nydus: true, notice: () => undefined });
  const result: Comparison = { fileCount: 0, differences: [] };
  for (const [i, image] of due.images.entries()) {
    const other = found.images[i];
    const platform = image.descriptor?.platform && platformText(image.descriptor.platform);
    if (!other) {
      const whole = { path: '', due: 'an image', found: 'nothing' };
      result.differences.push({ ...whole, kind: 'missing', ...(platform ? { platform } : {}) });
      continue;
    }
    const trees = [
      await readTree(source, image, signal),
      await readTree(target, other, signal, blobs),
    ];
    result.fileCount += trees[0]!.size;
    for (const one of differences(trees[0]!, trees[1]!)) {
      if (result.differences.length === MOST_LISTED) break;
      result.differences.push({ ...one, ...(platform ? { platform } : {}) });
    }
  }
  return result;
};
