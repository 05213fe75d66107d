/**
 * npm run flips: single bits of images are turned over, one at a time, and `check` has to find each.
 *
 *     npm run flips -- --count 10000 --seed 1
 *
 * The images are those of nydus-image in test/fixtures, in every mode; every file of them has its
 * turn. Each flip is tried twice: with every file named by its sha256, when all must be found, and
 * with names that say nothing, when a format may leave a bit open: how many, and where, is printed.
 * Ends with status 1 if one of the former is not found.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { RafsError } from '../../lib/errors.js';
import { ChunkInfoHeader } from '../../lib/layout/blob.js';
import { checkImage } from '../../streams/image/check-image.js';
import { readImage } from '../../streams/image/read-image.js';
import { golden, goldenBlob, goldenPath } from '../support/images/golden.js';
import { numbers } from '../support/random.js';
import { layerPath, layerTar } from '../support/tar/layers.js';

/** A part of a file, up to `end`. */
interface Region {
  readonly name: string;
  readonly end: number;
}

interface FlippedFile {
  readonly role: string;
  readonly bytes: Buffer;
  /** by what the image calls it; undefined for what `check` is given */
  readonly name?: string;
  readonly regions: readonly Region[];
}

/** An image: first the file that `check` is given, then the files of its blobs. */
export interface FlipCase {
  readonly name: string;
  readonly files: readonly FlippedFile[];
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const bootRegions = (image: Buffer): Region[] => {
  const { version, tables } = parseBootstrap(image);
  const end = image.length;
  if (version === 5) {
    return [
      { name: 'superblock', end: 8192 },
      { name: 'tables', end: tables.blob.offset + tables.blob.size },
      { name: 'inodes, names, xattrs, chunks', end },
    ];
  }
  const { blob, chunk } = tables;
  return [
    { name: 'superblocks, devices', end: blob.offset },
    { name: 'blob table, padding', end: blob.offset + 4096 },
    { name: 'inodes, names, xattrs', end: chunk.size > 0 ? chunk.offset : end },
    { name: 'chunk table', end: chunk.offset + chunk.size },
    { name: 'padding', end },
  ];
};

/** The parts of the file that has the tables of a blob. */
const blobRegions = (image: Buffer, size: number): Region[] => {
  const blob = parseBootstrap(image).blobs[0]!;
  const { ciOffset, ciCompressedSize, ciUncompressedSize, compressedSize } = blob;
  if (ciUncompressedSize === 0) {
    return [
      { name: 'chunk data', end: Math.min(size, compressedSize) },
      { name: 'bootstrap, headers', end: size },
    ];
  }
  const tableEnd = ciOffset + ciCompressedSize;
  return [
    { name: 'chunk data', end: ciOffset },
    { name: 'CI table', end: tableEnd },
    { name: 'CI header', end: tableEnd + ChunkInfoHeader.size },
    { name: 'digests, bootstrap, TOC, headers', end: size },
  ];
};

const withBlob = (name: string): FlipCase => {
  const boot = golden(name);
  const blob = fs.readFileSync(goldenBlob(name));
  return {
    name,
    files: [
      { role: 'bootstrap', bytes: boot, regions: bootRegions(boot) },
      {
        ...{ role: 'blob', bytes: blob, name: path.basename(goldenBlob(name)) },
        regions: blobRegions(boot, blob.length),
      },
    ],
  };
};

const withLayer = (name: string, layer: Buffer, tables: boolean): FlipCase => {
  const boot = golden(name);
  const whole = [{ name: 'layer', end: layer.length }];
  const files: FlippedFile[] = [
    { role: 'bootstrap', bytes: boot, regions: bootRegions(boot) },
    { role: 'layer', bytes: layer, name: parseBootstrap(boot).blobs[0]!.id, regions: whole },
  ];
  if (tables) {
    const file = goldenBlob(name);
    const bytes = fs.readFileSync(file);
    const regions = blobRegions(boot, bytes.length);
    files.push({ role: 'tables', bytes, name: path.basename(file), regions });
  }
  return { name, files };
};

const inlined = async (name: string): Promise<FlipCase> => {
  const file = goldenPath(name, 'blob');
  const bytes = fs.readFileSync(file);
  const { image } = await readImage(file);
  const regions = blobRegions(image, bytes.length);
  return { name, files: [{ role: 'blob with bootstrap', bytes, regions }] };
};

export const flipCases = async (): Promise<FlipCase[]> => [
  withBlob('tar-rafs.kinds.zstd.v6'),
  withBlob('tar-rafs.kinds.lz4_block.v5'),
  withBlob('batch.kinds.zstd'),
  withBlob('toc.kinds.none'),
  withBlob('encrypt.kinds.zstd'),
  withBlob('encrypt.batch.kinds.lz4_block'),
  await inlined('inline.kinds.zstd'),
  await inlined('inline.kinds.v5'),
  withLayer('zran.kinds', fs.readFileSync(layerPath('kinds.tar.gz')), true),
  withLayer('tarfs.kinds', layerTar('kinds'), false),
];

/** A bit to turn over. */
export interface Flip {
  readonly image: FlipCase;
  readonly file: FlippedFile;
  /** of the bit, from the start of the file */
  readonly bit: number;
}

/** Every case and every file of it comes as often as the others, its bits at random. */
export function* flipsOf(cases: readonly FlipCase[], count: number, seed: number): Iterable<Flip> {
  const next = numbers(seed);
  for (let i = 0; i < count; i++) {
    const image = cases[i % cases.length]!;
    const file = image.files[Math.floor(i / cases.length) % image.files.length]!;
    yield { image, file, bit: 8 * next(file.bytes.length) + next(8) };
  }
}

export const regionOf = ({ file, bit }: Flip): string =>
  file.regions.find(({ end }) => bit < 8 * end)!.name;

/** Lays the files of images out, and checks them. */
export class FlipBench {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Whether `check` finds the flip; without one, whether it finds fault with the image as it is. */
  async finds(image: FlipCase, named: boolean, flip?: Flip): Promise<boolean> {
    const folder = path.join(this.#directory, image.name);
    fs.mkdirSync(folder, { recursive: true });
    for (const { bytes, name } of image.files) {
      fs.writeFileSync(path.join(folder, name ?? (named ? sha256(bytes) : 'boot')), bytes);
    }
    const [given] = image.files;
    const boot = path.join(folder, named ? sha256(given!.bytes) : 'boot');
    if (flip) {
      const { bytes, name } = flip.file;
      const file = name === undefined ? boot : path.join(folder, name);
      const at = flip.bit >> 3;
      const handle = fs.openSync(file, 'r+');
      fs.writeSync(handle, Uint8Array.of(bytes[at]! ^ (1 << (flip.bit & 7))), 0, 1, at);
      fs.closeSync(handle);
    }
    try {
      await checkImage(boot, {
        ...(image.files.length > 1 ? { blobs: folder } : {}),
        anyBlobId: !named,
        strict: named,
      });
      return false;
    } catch (error) {
      // what a changed id leads to is not there
      const code = (error as NodeJS.ErrnoException).code;
      if (!(error instanceof RafsError) && code !== 'ENOENT') throw error;
      return true;
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  }
}

interface Tally {
  tried: number;
  found: number;
  open: number;
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
    },
  });
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flips-'));
  const bench = new FlipBench(directory);
  const tallies = new Map<string, Tally>();
  let missed = 0;
  try {
    const cases = await flipCases();
    for (const flip of flipsOf(cases, Number(values.count), Number(values.seed))) {
      const { image, file } = flip;
      const row = `${image.name} | ${file.role} | ${regionOf(flip)}`;
      const tally = tallies.get(row) ?? { tried: 0, found: 0, open: 0 };
      tallies.set(row, tally);
      tally.tried += 1;
      if (await bench.finds(image, true, flip)) tally.found += 1;
      else missed += 1;
      if (!(await bench.finds(image, false, flip))) tally.open += 1;
    }
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
  process.stdout.write('| image | file | where | flips | found | without digests |\n');
  process.stdout.write('|---|---|---|--:|--:|--:|\n');
  for (const [row, { tried, found, open }] of [...tallies].sort()) {
    process.stdout.write(`| ${row} | ${tried} | ${found} | ${tried - open} |\n`);
  }
  process.stdout.write(`${values.count} flips, ${missed} not found\n`);
  return missed === 0 ? 0 : 1;
};

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
