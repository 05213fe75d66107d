/**
 * Chooses the chunks that are worth having in a dictionary: those that nearly all images of a
 * cluster share, and those that an image keeps from version to version. A choice is learned from
 * the older versions of each image; the newer ones show how well it would have done, and so decide
 * among radii and thresholds.
 */
import { ImageClusters, type Cluster, type ImageRows } from './clusters.js';
import type { ChunkRows } from './rows.js';

/** The fraction of an image's versions that is learned from. */
const TRAIN = 0.7;
const MAX_ROUNDS = 7;
const RADII = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85];
const THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75];
/** Rounds end when less than this fraction of the images is in a cluster. */
const MIN_CLUSTERED = 0.2;
/** Weight of the previous version, as against all versions before that. */
const ALPHA = 0.5;

export interface Selection {
  /** rows that were chosen; there may be several of one digest */
  rows: readonly number[];
  /** images that are in no cluster, by number */
  noise: readonly number[];
}

export const selectChunks = (rows: ChunkRows): Selection => {
  const sets = divide(rows);
  const clusters = chooseClusters(rows, sets);
  const kept = chooseVersions(rows, sets, clusters);
  const clustered = new Set(clusters.flatMap(({ images }) => [...images]));
  const noise = rows.images.list.map((_, image) => image).filter(image => !clustered.has(image));
  return { rows: [...clusters.flatMap(cluster => cluster.rows), ...kept], noise };
};

interface Sets {
  train: readonly number[];
  test: readonly number[];
}

/** The rows of the older and of the newer versions, image by image and version by version. */
const divide = (rows: ChunkRows): Sets => {
  const train: number[] = [];
  const test: number[] = [];
  const order = rows.versions.list.map(numbersIn);
  const byName = (a: ImageRows, b: ImageRows): number =>
    rows.images.list[a.image]! < rows.images.list[b.image]! ? -1 : 1;
  const all = Array.from({ length: rows.count }, (_, row) => row);
  for (const image of imagesOf(rows, all).sort(byName)) {
    const versions: { order: readonly number[]; rows: number[] }[] = [];
    const known = new Map<string, number[]>();
    for (const row of image.rows) {
      const numbers = order[rows.version.get(row)]!;
      const key = numbers.join();
      let list = known.get(key);
      if (!list) {
        list = [];
        known.set(key, list);
        versions.push({ order: numbers, rows: list });
      }
      list.push(row);
    }
    versions.sort((a, b) => compareNumbers(a.order, b.order));
    const trainCount = Math.floor(versions.length * TRAIN);
    versions.forEach((version, i) => {
      for (const row of version.rows) (i < trainCount ? train : test).push(row);
    });
  }
  return { train, test };
};

const MAX_NUMBER = 2 ** 31 - 1;

/** The whole numbers in a tag: versions with the same ones count as one. */
const numbersIn = (tag: string): number[] =>
  (tag.match(/[0-9]+/g) ?? []).map(Number).filter(number => number <= MAX_NUMBER);

const compareNumbers = (a: readonly number[], b: readonly number[]): number => {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
};

const imagesOf = (rows: ChunkRows, list: readonly number[]): ImageRows[] => {
  const images = new Map<number, number[]>();
  for (const row of list) {
    const image = rows.image.get(row);
    const own = images.get(image);
    if (own) own.push(row);
    else images.set(image, [row]);
  }
  return [...images].map(([image, own]) => ({ image, rows: own }));
};

const digestsOf = (rows: ChunkRows, list: readonly number[]): Set<number> =>
  new Set(list.map(row => rows.digest.get(row)));

/** Stored bytes of the rows whose digests are not in `known`. */
const bytesBeside = (
  rows: ChunkRows,
  list: readonly number[],
  known: ReadonlySet<number>,
): number => {
  let size = 0;
  for (const row of list) {
    if (!known.has(rows.digest.get(row))) size += rows.compressedSize.get(row);
  }
  return size;
};

/** Of the results of `make` for all settings, the one that costs least; among equals, the last. */
const cheapest = <S, T>(
  settings: readonly S[],
  make: (setting: S) => { made: T; cost: number },
): T => {
  let best: { made: T; cost: number } | undefined;
  for (const setting of settings) {
    const next = make(setting);
    if (!best || next.cost <= best.cost) best = next;
  }
  return best!.made; // there are settings
};

/** Chooses in rounds, each over the chunks that the one before has left. */
const chooseClusters = (rows: ChunkRows, { train, test }: Sets): Cluster[] => {
  const chosen: Cluster[] = [];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const images = imagesOf(rows, train);
    if (images.length === 0) break;
    const clusters = new ImageClusters(rows, images);
    const shared = cheapest(RADII, radius => {
      clusters.cluster(radius);
      const made = clusters.shared();
      const digests = digestsOf(
        rows,
        made.flatMap(cluster => cluster.rows),
      );
      return { made: { clusters: made, digests }, cost: bytesBeside(rows, test, digests) };
    });
    if (clusters.clusteredCount / images.length < MIN_CLUSTERED) break;
    chosen.push(...shared.clusters);
    const isLeft = (row: number): boolean => !shared.digests.has(rows.digest.get(row));
    train = train.filter(isLeft);
    test = test.filter(isLeft);
  }
  return chosen;
};

/** Rows that their image keeps from version to version, without those that its clusters have. */
const chooseVersions = (
  rows: ChunkRows,
  { train, test }: Sets,
  clusters: readonly Cluster[],
): number[] => {
  const scored = imagesOf(rows, train).map(({ image, rows: own }) => {
    const known = digestsOf(
      rows,
      clusters.flatMap(cluster => (cluster.images.has(image) ? cluster.rows : [])),
    );
    const left = own.filter(row => !known.has(rows.digest.get(row)));
    return { image, rows: left, scores: scoresOf(rows, left) };
  });
  const newer = new Map(imagesOf(rows, test).map(({ image, rows: own }) => [image, own]));
  return cheapest(THRESHOLDS, threshold => {
    const made: number[] = [];
    let cost = 0;
    const open = new Map(newer);
    for (const { image, rows: own, scores } of scored) {
      const chosen = new Map<number, number>(); // by digest, the first of each
      own.forEach((row, i) => {
        const digest = rows.digest.get(row);
        if (scores[i]! > threshold && !chosen.has(digest)) chosen.set(digest, row);
      });
      for (const row of chosen.values()) made.push(row);
      cost += bytesBeside(rows, newer.get(image) ?? [], new Set(chosen.keys()));
      open.delete(image);
    }
    for (const own of open.values()) cost += bytesBeside(rows, own, new Set());
    return { made, cost };
  });
};

/**
 * Exponential smoothing along the rows of one image: a row counts 1 if the previous version has its
 * digest too, else 0, and its score is half of that plus half of the score of the row before.
 */
const scoresOf = (rows: ChunkRows, own: readonly number[]): Float64Array => {
  const scores = new Float64Array(own.length);
  let version = -1;
  let before: ReadonlySet<number> = new Set();
  let current = new Set<number>();
  own.forEach((row, i) => {
    const digest = rows.digest.get(row);
    if (rows.version.get(row) !== version) {
      before = current;
      current = new Set();
      version = rows.version.get(row);
    }
    current.add(digest);
    const isFirst = version === rows.version.get(own[0]!);
    if (!isFirst) scores[i] = ALPHA * (before.has(digest) ? 1 : 0) + (1 - ALPHA) * scores[i - 1]!;
  });
  return scores;
};
