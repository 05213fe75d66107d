/** Gathers what a report says of one image, in one walk. */
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import { atPath, IdSet, walk } from '../bootstrap/walk.js';
import { compressorName } from '../compress/compressors.js';
import { NO_DIGEST } from '../crypto/digest.js';
import { BlobFeature } from '../layout/blob.js';
import { shown } from '../model/names.js';
import type { Inode, InodeType, StoredChunk } from '../model/stored.js';
import { FILE_KINDS, fileKind } from './file-kinds.js';
import { Largest } from './largest.js';
import { dumpRecords } from './record-dump.js';
import type { DuplicateFiles, ImageReport, SharedChunks, Sums } from './report.js';
import { TreeColumns, type RowType } from './tree-columns.js';

/** Lists have this many entries. */
const LISTED = 50;
/** Names of a group of equal files that are listed. */
const LISTED_NAMES = 20;

/** A distinct chunk that an image uses. */
export interface UsedChunk {
  /** the blob's id and the chunk's index in it: what a node's cache has it under */
  place: string;
  /** digest of its bytes, as a latin1 string; '' if the image has none */
  content: string;
  blobIndex: number;
  size: number;
  stored: number;
}

export interface GatheredImage {
  report: Omit<ImageReport, 'tree'>;
  rows: { names: number; columns: Buffer[] };
  chunks: readonly UsedChunk[];
}

/** A layer that a blob was made of, if that is known. */
export type LayerSizes = ReadonlyMap<number, number>;

const noSums = (): Sums => ({ files: 0, size: 0, stored: 0 });

const ROW_TYPE: Readonly<Partial<Record<InodeType, RowType>>> = {
  directory: 'directory',
  file: 'file',
  symlink: 'symlink',
};

/**
 * Holds a record for each distinct chunk, and a key for each file. Fails as `walk` does if the
 * image makes no sense.
 */
export const gatherImage = (
  bootstrap: Bootstrap,
  { name, image, layers = new Map() }: { name: string; image: Buffer; layers?: LayerSizes },
): GatheredImage => {
  const chunks = new ChunkList(bootstrap);
  const rows = new TreeColumns();
  const all = noSums();
  const kinds = FILE_KINDS.map(kind => ({ kind, ...noSums() }));
  const others = { directory: 0, symlink: 0, other: 0 };
  const largest = new Largest<{ path: string; size: number; stored: number }>(
    LISTED,
    ({ size }) => size,
  );
  const equal = new EqualFiles();
  const prefetched = new Prefetched(bootstrap);
  for (const { path, name: own, id, inode, repeated } of walk(bootstrap)) {
    const type = ROW_TYPE[inode.type] ?? 'other';
    const depth = path === '' ? 0 : path.split('/').length;
    let stored = 0;
    const { size } = inode;
    prefetched.enter(path, depth, id, inode);
    if (type === 'file') {
      all.files += 1;
      const sums = kinds[fileKind(own)]!;
      sums.files += 1;
      if (!repeated) {
        const use = atPath(path, () => chunks.use(inode));
        stored = use.fresh;
        for (const one of [all, sums]) {
          one.size += size;
          one.stored += use.fresh;
        }
        largest.add({ path, size, stored: use.total });
        if (size > 0) equal.add(use.key, size, path);
        prefetched.count(size, use.total);
      }
    } else others[type] += 1;
    rows.add({ name: own, depth, type, size: repeated ? 0 : size, stored });
  }
  const { list } = chunks;
  return {
    chunks: list,
    rows: rows.finish(),
    report: {
      name,
      mode: modeOf(bootstrap),
      fsVersion: bootstrap.version,
      compressor: bootstrap.compressor,
      digester: bootstrap.digester,
      chunkSize: bootstrap.chunkSize,
      bootstrap: image.length,
      directories: others.directory,
      symlinks: others.symlink,
      others: others.other,
      all,
      chunks: {
        count: list.length,
        size: list.reduce((sum, { size }) => sum + size, 0),
        stored: list.reduce((sum, { stored }) => sum + stored, 0),
      },
      blobs: blobsOf(bootstrap, list, layers),
      kinds: kinds.filter(({ files }) => files > 0),
      largest: largest.sorted().map(file => ({ ...file, path: shown(file.path) })),
      duplicates: equal.result(),
      shared: sharedChunks(list),
      prefetch: prefetched.result(),
      dumps: dumpRecords(bootstrap, image),
    },
  };
};

const modeOf = ({ tarfs, blobs }: Bootstrap): ImageReport['mode'] => {
  if (tarfs) return 'tarfs';
  return blobs.some(({ features }) => features & BlobFeature.SEPARATE) ? 'zran' : 'native';
};

const blobsOf = (
  { blobs }: Bootstrap,
  chunks: readonly UsedChunk[],
  layers: LayerSizes,
): ImageReport['blobs'] => {
  const used = blobs.map(() => ({ count: 0, stored: 0 }));
  for (const { blobIndex, stored } of chunks) {
    used[blobIndex]!.count += 1;
    used[blobIndex]!.stored += stored;
  }
  return blobs.map(blob => {
    const layer = layers.get(blob.index);
    return {
      id: shown(blob.id),
      compressor: compressorName(blob.compressor),
      stored: blob.compressedSize,
      unpacked: blob.uncompressedSize,
      chunks: blob.chunkCount,
      usedChunks: used[blob.index]!.count,
      used: used[blob.index]!.stored,
      ...(layer === undefined ? {} : { layer }),
    };
  });
};

/** The distinct chunks of an image, by place. */
class ChunkList {
  readonly list: UsedChunk[] = [];
  readonly #bootstrap: Bootstrap;
  readonly #known = new Set<string>();

  constructor(bootstrap: Bootstrap) {
    this.#bootstrap = bootstrap;
  }

  /** Bytes of a file's chunks: of those that no file had before, and of all; and what it is. */
  use(file: Inode): { fresh: number; total: number; key: string } {
    let fresh = 0;
    let total = 0;
    const parts: string[] = [];
    for (const chunk of this.#bootstrap.chunks(file)) {
      const used = this.#usedChunk(chunk);
      total += used.stored;
      parts.push(used.content === '' ? used.place : used.content);
      if (this.#known.has(used.place)) continue;
      this.#known.add(used.place);
      this.list.push(used);
      fresh += used.stored;
    }
    return { fresh, total, key: parts.join() };
  }

  #usedChunk(chunk: StoredChunk): UsedChunk {
    const { blobIndex, index, digest } = chunk;
    return {
      place: `${this.#bootstrap.blobs[blobIndex]!.id}/${index}`,
      content: digest.equals(NO_DIGEST) ? '' : digest.toString('latin1'),
      blobIndex,
      size: chunk.uncompressedSize,
      stored: chunk.compressedSize,
    };
  }
}

/** Files with the same chunks. */
class EqualFiles {
  readonly #groups = new Map<string, DuplicateFiles>();

  add(key: string, size: number, path: string): void {
    const group = this.#groups.get(key);
    if (!group) this.#groups.set(key, { size, count: 1, paths: [path] });
    else if (group.count++ < LISTED_NAMES) group.paths.push(path);
  }

  result(): ImageReport['duplicates'] {
    const largest = new Largest<DuplicateFiles>(LISTED, ({ size, count }) => size * (count - 1));
    const sums = { groups: 0, files: 0, size: 0 };
    for (const group of this.#groups.values()) {
      if (group.count === 1) continue;
      sums.groups += 1;
      sums.files += group.count;
      sums.size += group.size * (group.count - 1);
      largest.add(group);
    }
    const listed = largest.sorted().map(one => ({ ...one, paths: one.paths.map(shown) }));
    return { ...sums, largest: listed };
  }
}

/** Equal chunks in different blobs of one image, the pairs with most bytes first. */
const sharedChunks = (chunks: readonly UsedChunk[]): SharedChunks[] => {
  const first = new Map<string, UsedChunk>();
  const pairs = new Map<string, SharedChunks>();
  for (const chunk of chunks) {
    if (chunk.content === '') continue;
    const other = first.get(chunk.content);
    if (!other) first.set(chunk.content, chunk);
    else if (other.blobIndex !== chunk.blobIndex) {
      const [a, b] = [other.blobIndex, chunk.blobIndex].sort((x, y) => x - y) as [number, number];
      const pair = pairs.get(`${a} ${b}`) ?? { a, b, chunks: 0, stored: 0 };
      pair.chunks += 1;
      pair.stored += chunk.stored;
      pairs.set(`${a} ${b}`, pair);
    }
  }
  return [...pairs.values()].sort((x, y) => y.stored - x.stored).slice(0, LISTED);
};

/** What the prefetch table covers: files that it names, and all below directories that it names. */
class Prefetched {
  readonly #named: IdSet;
  readonly #paths: string[] = [];
  readonly #sums = noSums();
  /** depth of the directory that the walk is in and that the table names */
  #within = Infinity;
  #covered = false;

  constructor({ prefetch, idLimit }: Bootstrap) {
    this.#named = new IdSet(idLimit);
    for (const id of prefetch) if (id < idLimit) this.#named.add(id);
  }

  enter(path: string, depth: number, id: number, { type }: Inode): void {
    if (depth <= this.#within) this.#within = Infinity;
    const named = this.#named.has(id);
    if (named && this.#paths.length < LISTED) this.#paths.push(shown(`/${path}`));
    this.#covered = named || this.#within !== Infinity;
    if (named && type === 'directory' && this.#within === Infinity) this.#within = depth;
  }

  count(size: number, stored: number): void {
    if (!this.#covered) return;
    this.#sums.files += 1;
    this.#sums.size += size;
    this.#sums.stored += stored;
  }

  result(): ImageReport['prefetch'] {
    return { ...this.#sums, paths: this.#paths };
  }
}
