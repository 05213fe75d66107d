/**
 * Layers generated from a seed: tars whose files are as many, as large and as compressible as those
 * of real ones. Only a pool of content is held, so a layer may have any size.
 */
import { createCipheriv } from 'node:crypto';
import { memberOf } from '../test/support/tar/tar.js';
import { numbers } from '../test/support/random.js';

export interface LayerShape {
  about: string;
  files: number;
  directories: number;
  symlinks: number;
  /** quantiles of the sizes: a share of files is at most that large; log scale between two */
  sizes: readonly (readonly [share: number, size: number])[];
  /** share of the bytes that cannot be compressed */
  random: number;
  /** share of text lines that repeat earlier ones */
  repeated: number;
  /** what a scale reduces */
  scaled: 'files' | 'sizes';
}

const MIB = 0x100000;
const GIB = 0x40000000;

const fewFiles = (total: number, files: number): LayerShape => ({
  about: `${total / GIB} GB in ${files} files, half of it random`,
  files,
  directories: 2,
  symlinks: 0,
  sizes: [
    [0, total / files / 4],
    [1, (total / files) * 2.4],
  ],
  random: 0.5,
  repeated: 0.4,
  scaled: 'sizes',
});

const smallFiles = (files: number): LayerShape => ({
  about: `${files} small files`,
  files,
  directories: files / 50,
  symlinks: 0,
  sizes: [
    [0, 1],
    [0.5, 250],
    [1, 3000],
  ],
  random: 0.1,
  repeated: 0.4,
  scaled: 'files',
});

/** Quantiles of debian and kernel come from a Debian 12 root file system and a Linux 6.1 tree. */
export const LAYERS = {
  ten: { ...smallFiles(10), directories: 3 },
  '3m': {
    about: 'like a layer with one small package: 3 MB in 200 files',
    files: 200,
    directories: 20,
    symlinks: 10,
    sizes: [
      [0, 100],
      [0.5, 6000],
      [0.9, 30000],
      [1, 150000],
    ],
    random: 0.1,
    repeated: 0.4,
    scaled: 'files',
  },
  debian: {
    about: 'like the root file system of a Debian',
    files: 5300,
    directories: 780,
    symlinks: 650,
    sizes: [
      [0, 1],
      [0.1, 290],
      [0.3, 970],
      [0.5, 2200],
      [0.7, 8700],
      [0.8, 18700],
      [0.9, 52000],
      [0.95, 110000],
      [0.99, 420000],
      [0.998, 1600000],
      [0.999, 2200000],
      [1, 50000000],
    ],
    random: 0.2,
    repeated: 0.4,
    scaled: 'files',
  },
  kernel: {
    about: 'like a kernel tree',
    files: 79000,
    directories: 5100,
    symlinks: 60,
    sizes: [
      [0, 1],
      [0.05, 250],
      [0.2, 960],
      [0.4, 2500],
      [0.6, 5900],
      [0.8, 14800],
      [0.9, 28800],
      [0.95, 48000],
      [0.99, 125000],
      [0.995, 191000],
      [0.999, 1120000],
      [1, 24000000],
    ],
    random: 0,
    repeated: 0.75,
    scaled: 'files',
  },
  '10k': smallFiles(10000),
  '100k': smallFiles(100000),
  million: smallFiles(1000000),
  '1g': fewFiles(GIB, 12),
  '4g': fewFiles(4 * GIB, 12),
  '10g': fewFiles(10 * GIB, 12),
} as const satisfies Readonly<Record<string, LayerShape>>;

export type LayerName = keyof typeof LAYERS;

export const isLayerName = (name: string): name is LayerName => Object.hasOwn(LAYERS, name);

export interface MakeOptions {
  seed?: number;
  /** 1 for the whole layer */
  scale?: number;
}

/** The layer as a tar, in pieces of up to 1 MiB. */
export function* makeLayer(
  shape: LayerShape,
  { seed = 1, scale = 1 }: MakeOptions = {},
): Iterable<Buffer> {
  const next = numbers(seed);
  const count = (n: number): number => (shape.scaled === 'files' ? Math.ceil(n * scale) : n);
  const files = count(shape.files);
  const directories = count(shape.directories);
  const symlinks = Math.floor(shape.symlinks * scale);
  const sizeOf = sizes(shape, shape.scaled === 'sizes' ? scale : 1);
  const text = contentOf(textPool(shape.repeated, seed), next);
  const random = contentOf(randomPool(seed), next);
  const order = shuffled(files, next);
  const paths: string[] = ['.'];

  yield member({ name: './', type: '5', mode: 0o755 });
  for (let d = 0, file = 0, link = 0; d < directories; d++) {
    const path = `${paths[next(paths.length)]!}/${word(next, 4, 12)}${d.toString(36)}`;
    // a ustar name has 100 bytes: no deeper than this
    if (path.length < 70) paths.push(path);
    yield member({ name: `${path}/`, type: '5', mode: 0o755 });
    for (; file * directories < (d + 1) * files; file++) {
      const size = sizeOf((order[file]! + 0.5) / files);
      const mode = next(5) === 0 ? 0o755 : 0o644;
      yield member({ name: `${path}/${word(next, 3, 14)}${file.toString(36)}`, size, mode });
      yield* (next(1000) < shape.random * 1000 ? random : text)(size);
      yield ZEROS.subarray(0, (512 - (size % 512)) % 512);
    }
    for (; link * directories < (d + 1) * symlinks; link++) {
      yield member({ name: `${path}/l${link}`, type: '2', link: `../${word(next, 3, 20)}` });
    }
  }
  yield ZEROS.subarray(0, 1024);
}

const ZEROS = Buffer.alloc(1024);

const member = (entry: Parameters<typeof memberOf>[0]): Buffer =>
  memberOf({ mode: 0o777, mtime: 1700000000, ...entry });

/** Sizes by rank, from 0 to 1. */
const sizes = ({ sizes: points }: LayerShape, scale: number) => {
  return (rank: number): number => {
    const at = Math.max(
      1,
      points.findIndex(([share]) => rank <= share),
    );
    const [low, small] = points[at - 1]!;
    const [high, large] = points[at]!;
    const size = small * (large / small) ** ((rank - low) / (high - low));
    return Math.max(1, Math.round(size * scale));
  };
};

function shuffled(count: number, next: (limit: number) => number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const k = next(i + 1);
    [order[i], order[k]] = [order[k]!, order[i]!];
  }
  return order;
}

const word = (next: (limit: number) => number, least: number, most: number): string => {
  let text = '';
  for (let i = least + next(most - least + 1); i > 0; i--) {
    text += String.fromCharCode(97 + next(26));
  }
  return text;
};

/** Pieces of a pool. A piece is 1 MiB, so that a chunk of that size never repeats itself. */
const contentOf = (pool: Buffer, next: (limit: number) => number) =>
  function* (size: number): Iterable<Buffer> {
    for (let left = size; left > 0;) {
      const piece = Math.min(left, MIB);
      const from = next(pool.length - piece + 1);
      yield pool.subarray(from, from + piece);
      left -= piece;
    }
  };

const POOL_SIZE = 16 * MIB;

/** A stream cipher's key stream. */
const randomPool = (seed: number): Buffer => {
  const key = Buffer.alloc(16);
  key.write(String(seed));
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(POOL_SIZE));
};

/** Lines of words; a share of them repeat one of the last few hundred lines. */
const textPool = (repeated: number, seed: number): Buffer => {
  const next = numbers(seed + 1);
  const words = Array.from({ length: 4000 }, () => word(next, 2, 10));
  // the square makes some words common and most of them rare
  const pick = (): string => words[Math.floor((next(4000) / 4000) ** 2 * 4000)]!;
  const lines: string[] = [];
  for (let length = 0; length < POOL_SIZE;) {
    const line =
      lines.length > 300 && next(1000) < repeated * 1000
        ? lines[lines.length - 1 - next(300)]!
        : `${' '.repeat(2 * next(4))}${Array.from({ length: 1 + next(9) }, pick).join(' ')}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join('').slice(0, POOL_SIZE), 'latin1');
};
