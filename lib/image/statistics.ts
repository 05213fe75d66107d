/** Statistics of images: what they hold, and what they share. */
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import { walk } from '../bootstrap/walk.js';
import { alignUp } from '../layout/align.js';
import type { Digester } from '../crypto/digest.js';

const FILE_BITS = 45;
export const CHUNK_BITS = { first: 12, count: 9 } as const;
const THRESHOLDS = 20;

/** Sums over images. The names and their order are those of the JSON that clients read. */
export interface ImageStatistics {
  dirs: number;
  /** names of regular files; the sums below count each inode once */
  files: number;
  symlinks: number;
  chunks: number;
  file_size: number;
  comp_size: number;
  uncomp_size: number;
  /** what rounding every file up to 4 KiB adds; part of uncomp_size */
  padding_size: number;
  /** [i]: how many chunks the files would have if chunks had 2^(12 + i) bytes */
  chunk_sizes: number[];
  /** [i]: files whose size has i bits */
  file_sizes: number[];
  dedup_chunks: number;
  dedup_comp_size: number;
  dedup_uncomp_size: number;
  own_chunks: number;
  own_comp_size: number;
  own_uncomp_size: number;
  ref_chunks: number;
  ref_comp_size: number;
  ref_uncomp_size: number;
}

export interface Statistics {
  dedup_enabled: boolean;
  target_enabled: boolean;
  base_image: ImageStatistics;
  target_image: ImageStatistics;
}

/** The effect of sharing the chunks that at least a certain number of images have. */
export interface DedupRow {
  rawCount: number;
  dedupCount: number;
  contentSize: number;
  baseSize: number;
  imageSize: number;
}

const empty = (): ImageStatistics => ({
  dirs: 0,
  files: 0,
  symlinks: 0,
  chunks: 0,
  file_size: 0,
  comp_size: 0,
  uncomp_size: 0,
  padding_size: 0,
  chunk_sizes: new Array<number>(CHUNK_BITS.count).fill(0),
  file_sizes: new Array<number>(FILE_BITS).fill(0),
  dedup_chunks: 0,
  dedup_comp_size: 0,
  dedup_uncomp_size: 0,
  own_chunks: 0,
  own_comp_size: 0,
  own_uncomp_size: 0,
  ref_chunks: 0,
  ref_comp_size: 0,
  ref_uncomp_size: 0,
});

interface KnownChunk {
  compressedSize: number;
  uncompressedSize: number;
  images: number;
}

/**
 * Gathers statistics: base images first, then the target, then `result`.
 * Holds one record per distinct chunk.
 */
export class StatisticsGatherer {
  readonly #digester: Digester;
  readonly #dedup: boolean;
  readonly #base = empty();
  readonly #target = empty();
  #targeted = false;
  #known = new Map<string, KnownChunk>();

  /** @param options.dedup compare the base images with one another */
  constructor({ digester, dedup }: { digester: Digester; dedup: boolean }) {
    this.#digester = digester;
    this.#dedup = dedup;
  }

  addBase(bootstrap: Bootstrap): void {
    const shared = bootstrap.digester === this.#digester;
    for (const [digest, chunk] of this.#add(this.#base, bootstrap)) {
      own(this.#base, chunk);
      if (!shared) continue;
      const known = this.#known.get(digest);
      if (known) known.images += 1;
      else this.#known.set(digest, { ...chunk, images: 1 });
    }
  }

  addTarget(bootstrap: Bootstrap): void {
    this.#targeted = true;
    const sum = this.#target;
    for (const [digest, chunk] of this.#add(sum, bootstrap)) {
      if (this.#known.get(digest)?.uncompressedSize !== chunk.uncompressedSize) {
        own(sum, chunk);
        continue;
      }
      sum.ref_chunks += 1;
      sum.ref_comp_size += chunk.compressedSize;
      sum.ref_uncomp_size += chunk.uncompressedSize;
    }
  }

  result(): Statistics {
    const base = finished(this.#base);
    if (this.#dedup) {
      for (const { compressedSize, uncompressedSize } of this.#known.values()) {
        base.dedup_chunks += 1;
        base.dedup_comp_size += compressedSize;
        base.dedup_uncomp_size += uncompressedSize;
      }
    }
    return {
      dedup_enabled: this.#dedup,
      target_enabled: this.#targeted,
      base_image: base,
      target_image: this.#targeted ? finished(this.#target) : this.#target,
    };
  }

  /** Row i: the effect of sharing the chunks that at least i + 1 images have. */
  dedupRows(): DedupRow[] {
    const rows: DedupRow[] = [];
    for (let least = 1; least <= THRESHOLDS; least++) {
      const row = { rawCount: 0, dedupCount: 0, contentSize: 0, baseSize: 0, imageSize: 0 };
      for (const { images, uncompressedSize } of this.#known.values()) {
        const size = images * uncompressedSize;
        row.rawCount += images;
        row.contentSize += size;
        if (images >= least) {
          row.dedupCount += 1;
          row.baseSize += uncompressedSize;
        } else {
          row.dedupCount += images;
          row.imageSize += size;
        }
      }
      rows.push(row);
    }
    return rows;
  }

  /** Adds an image to a sum; returns its distinct chunks by digest. */
  #add(sum: ImageStatistics, bootstrap: Bootstrap) {
    const distinct = new Map<string, Omit<KnownChunk, 'images'>>();
    for (const { inode, repeated } of walk(bootstrap)) {
      if (inode.type === 'directory') sum.dirs += 1;
      if (inode.type === 'symlink') sum.symlinks += 1;
      if (inode.type !== 'file') continue;
      sum.files += 1;
      if (repeated) continue;
      addFile(sum, inode.size);
      for (const { digest, compressedSize, uncompressedSize } of bootstrap.chunks(inode)) {
        sum.chunks += 1;
        sum.comp_size += compressedSize;
        sum.uncomp_size += uncompressedSize;
        const key = digest.toString('latin1');
        if (!distinct.has(key)) distinct.set(key, { compressedSize, uncompressedSize });
      }
    }
    return distinct;
  }
}

const addFile = (sum: ImageStatistics, size: number): void => {
  const bits = size === 0 ? 0 : Math.floor(Math.log2(size)) + 1;
  sum.file_sizes[Math.min(bits, FILE_BITS - 1)]! += 1;
  sum.file_size += size;
  sum.padding_size += alignUp(size, 4096) - size;
  for (let i = 0; i < CHUNK_BITS.count; i++) {
    sum.chunk_sizes[i]! += Math.ceil(size / 2 ** (CHUNK_BITS.first + i));
  }
};

const own = (sum: ImageStatistics, chunk: Omit<KnownChunk, 'images'>): void => {
  sum.own_chunks += 1;
  sum.own_comp_size += chunk.compressedSize;
  sum.own_uncomp_size += chunk.uncompressedSize;
};

const finished = (sum: ImageStatistics): ImageStatistics => ({
  ...sum,
  uncomp_size: sum.uncomp_size + sum.padding_size,
});
