/**
 * Clusters of images that have much in common, and the chunks that nearly all images of a cluster
 * share: half of the choice that lib/chunkdict/select.ts makes.
 */
import type { ChunkRows } from './rows.js';

/** Rows of one image, as row numbers of the database. */
export interface ImageRows {
  image: number;
  rows: readonly number[];
}

export interface Cluster {
  images: ReadonlySet<number>;
  /** rows that are shared, one per digest */
  rows: readonly number[];
}

/** How many images, itself included, must be near an image to make it the core of a cluster. */
const MIN_POINTS = 10;
/** The fraction of a cluster's images that must have a chunk to share it. */
const SHARED_BY = 0.9;
const NOT_CLUSTERED = -1;

/** An image: its distinct digests in order, and for each the size in the first row that has it. */
interface Point {
  digests: Uint32Array;
  sizes: Float64Array;
  /** bytes of all rows, and of the first row of each digest */
  total: number;
  distinct: number;
}

/**
 * DBSCAN over images, for one radius after another. Images that a smaller radius has put into a
 * cluster stay there.
 */
export class ImageClusters {
  readonly #rows: ChunkRows;
  readonly #images: readonly ImageRows[];
  readonly #distances: Float64Array;
  readonly #visited: Uint8Array;
  readonly #clusterOf: Int32Array;
  #clusterCount = 0;

  constructor(rows: ChunkRows, images: readonly ImageRows[]) {
    this.#rows = rows;
    this.#images = images;
    this.#visited = new Uint8Array(images.length);
    this.#clusterOf = new Int32Array(images.length).fill(NOT_CLUSTERED);
    const points = images.map(image => pointOf(rows, image.rows));
    this.#distances = new Float64Array(images.length ** 2);
    points.forEach((a, i) => {
      points.forEach((b, j) => (this.#distances[i * points.length + j] = distance(a, b)));
    });
  }

  /** How many images are in a cluster. */
  get clusteredCount(): number {
    return this.#clusterOf.filter(cluster => cluster !== NOT_CLUSTERED).length;
  }

  /** Adds the clusters that are found with this radius. */
  cluster(radius: number): void {
    for (let i = 0; i < this.#images.length; i++) {
      if (this.#visited[i] || this.#clusterOf[i] !== NOT_CLUSTERED) continue;
      if (this.#neighbours(i, radius).length >= MIN_POINTS) this.#expand(i, radius);
    }
  }

  /** What the clusters found so far share. */
  shared(): Cluster[] {
    const members: ImageRows[][] = Array.from({ length: this.#clusterCount }, () => []);
    this.#images.forEach((image, i) => {
      const cluster = this.#clusterOf[i]!;
      if (cluster !== NOT_CLUSTERED) members[cluster]!.push(image);
    });
    return members.map(images => ({
      images: new Set(images.map(({ image }) => image)),
      rows: this.#sharedRows(images),
    }));
  }

  /** Images within the radius of one, itself included. */
  #neighbours(i: number, radius: number): number[] {
    const found: number[] = [];
    for (let j = 0; j < this.#images.length; j++) {
      if (this.#distances[i * this.#images.length + j]! <= radius) found.push(j);
    }
    return found;
  }

  #expand(core: number, radius: number): void {
    const cluster = this.#clusterCount++;
    this.#clusterOf[core] = cluster;
    const open = [core];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (this.#visited[next]) continue;
      this.#visited[next] = 1;
      const near = this.#neighbours(next, radius);
      if (near.length < MIN_POINTS) continue;
      for (const j of near) {
        if (!this.#visited[j]) open.push(j);
        if (this.#clusterOf[j] === NOT_CLUSTERED) this.#clusterOf[j] = cluster;
      }
    }
  }

  #sharedRows(images: readonly ImageRows[]): number[] {
    const { digest } = this.#rows;
    const counts = new Map<number, number>();
    for (const { rows } of images) {
      for (const d of new Set(rows.map(row => digest.get(row)))) {
        counts.set(d, (counts.get(d) ?? 0) + 1);
      }
    }
    const chosen = new Map<number, number>();
    for (const { rows } of images) {
      for (const row of rows) {
        const d = digest.get(row);
        const isShared = counts.get(d)! / images.length >= SHARED_BY;
        if (isShared && !chosen.has(d)) chosen.set(d, row);
      }
    }
    return [...chosen.values()];
  }
}

const pointOf = (rows: ChunkRows, own: readonly number[]): Point => {
  const first = new Map<number, number>();
  let total = 0;
  for (const row of own) {
    const size = rows.compressedSize.get(row);
    total += size;
    const digest = rows.digest.get(row);
    if (!first.has(digest)) first.set(digest, size);
  }
  const digests = Uint32Array.from(first.keys()).sort();
  const sizes = Float64Array.from(digests, digest => first.get(digest)!);
  return { digests, sizes, total, distinct: sizes.reduce((sum, size) => sum + size, 0) };
};

/**
 * The fraction of the bytes of both images, one after the other, that do not repeat earlier ones.
 * NaN if both are empty, so that nothing is near.
 */
const distance = (a: Point, b: Point): number => {
  let both = 0; // bytes of b's digests that a has too
  for (let i = 0, j = 0; i < a.digests.length && j < b.digests.length;) {
    const difference = a.digests[i]! - b.digests[j]!;
    if (difference === 0) both += b.sizes[j]!;
    if (difference <= 0) i++;
    if (difference >= 0) j++;
  }
  return (a.distinct + b.distinct - both) / (a.total + b.total);
};
