/**
 * How long our builder takes beside nydus-image, and how much memory.
 *
 *     npm run bench
 *     npm run bench -- --only debian,lz4_block --scale 0.1 --runs 1
 *
 * NYDUS_IMAGE is the path of nydus-image; RAFS_BENCH_DEBIAN and RAFS_BENCH_KERNEL are real layers,
 * as a tar or a directory. The two builders take turns on the same source with the same options.
 */
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { measure, median, type Cost } from './measure.js';
import { machine, table, versionOf, type Row } from './report.js';
import { layersOf, Sources, warm, whenThere, type Form, type Layer } from './sources.js';

const ROOT = new URL('../../', import.meta.url);
const OURS = [process.execPath, fileURLToPath(new URL('dist/bin/rafs-stream.js', ROOT))];
const COMPRESSORS = ['zstd', 'lz4_block'] as const;

const USAGE = `usage: npm run bench -- [--only TEXT[,TEXT]...] [--runs N] [--scale F] [--output FILE]
                        [--work DIRECTORY]

  --only    rows whose names hold every one of these texts; a name is like 'debian tar.gz zstd'
  --runs    how often each builder builds each row [3]; the table has the medians
  --scale   share of every made layer that is made [1]
  --output  file for the table [benchmarks/RESULTS.md for a whole run, none otherwise]
  --work    directory for layers and blobs, in which layers are kept [a temporary one]
`;

interface Options {
  only: string[];
  runs: number;
  scale: number;
  output: string | undefined;
  work: string | undefined;
}

const options = (): Options => {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { only: text, runs: text, scale: text, output: text, work: text },
  });
  const whole = values.only === undefined && values.scale === undefined;
  const runs = Number(values.runs ?? 3);
  const scale = Number(values.scale ?? 1);
  if (!Number.isInteger(runs) || runs < 1 || !(scale > 0 && scale <= 1)) {
    process.stderr.write(USAGE);
    process.exit(2);
  }
  return {
    only: values.only?.split(',') ?? [],
    runs,
    scale,
    output:
      values.output ?? (whole ? fileURLToPath(new URL('benchmarks/RESULTS.md', ROOT)) : undefined),
    work: values.work,
  };
};

const TYPES: Readonly<Record<Form, string>> = {
  tar: 'tar-rafs',
  'tar.gz': 'targz-rafs',
  directory: 'dir-rafs',
  fifo: 'tar-rafs',
};

interface Case {
  layer: Layer;
  form: Form;
  compressor: (typeof COMPRESSORS)[number];
}

const nameOf = ({ layer, form, compressor }: Case): string => `${layer.name} ${form} ${compressor}`;

/** One build of one case; the blob is left at `blob`. */
const build = async (
  builder: readonly string[],
  { layer, form, compressor }: Case,
  sources: Sources,
  blob: string,
): Promise<Cost> => {
  const argv = (source: string): string[] => [
    ...builder,
    'create',
    ...['--type', TYPES[form], '--compressor', compressor, '--log-level', 'error'],
    ...['--blob-inline-meta', '--features', 'blob-toc', '--blob', blob, source],
  ];
  rmSync(blob, { force: true });
  if (form !== 'fifo') return measure(argv(await sources.stored(layer, form)));
  const fifo = `${blob}.source`;
  rmSync(fifo, { force: true });
  const maker = sources.fifo(layer, fifo);
  const made = new Promise<number | null>(resolve => maker.once('close', resolve));
  try {
    await whenThere(fifo);
    const cost = await measure(argv(fifo));
    const code = await made;
    if (code !== 0) throw new Error(`making ${layer.name} failed`);
    return cost;
  } finally {
    maker.kill();
    rmSync(fifo, { force: true });
  }
};

const digestOf = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
};

const rowOf = async (
  one: Case,
  {
    sources,
    work,
    runs,
    reference,
  }: {
    sources: Sources;
    work: string;
    runs: number;
    reference: string | undefined;
  },
): Promise<Row> => {
  if (one.form !== 'fifo') await warm(await sources.stored(one.layer, one.form));
  const [ours, theirs]: [Cost[], Cost[]] = [[], []];
  const [blob, blobOfTheirs] = [path.join(work, 'blob'), path.join(work, 'reference-blob')];
  for (let i = 0; i < runs; i++) {
    ours.push(await build(OURS, one, sources, blob));
    if (reference) theirs.push(await build([reference], one, sources, blobOfTheirs));
  }
  const row: Row = {
    layer: one.layer.name,
    form: one.form,
    compressor: one.compressor,
    blobSize: statSync(blob).size,
    ours: median(ours),
  };
  if (reference) {
    row.theirs = median(theirs);
    row.same = (await digestOf(blob)) === (await digestOf(blobOfTheirs));
  }
  for (const file of [blob, blobOfTheirs]) rmSync(file, { force: true });
  return row;
};

const main = async (): Promise<void> => {
  const { only, runs, scale, output, work: kept } = options();
  const reference = process.env.NYDUS_IMAGE || undefined;
  if (reference !== undefined && !existsSync(reference)) throw new Error(`no ${reference}`);
  const { layers, missing } = layersOf(process.env);
  const skipped = [...missing];
  if (!reference) skipped.push('nydus-image: NYDUS_IMAGE does not name it');
  for (const text of skipped) process.stderr.write(`skipped: ${text}\n`);

  const work = kept ?? mkdtempSync(path.join(os.tmpdir(), 'rafs-bench-'));
  const sources = new Sources(path.join(work, 'layers'), scale);
  const rows: Row[] = [];
  try {
    for (const layer of layers) {
      for (const form of layer.forms) {
        for (const compressor of COMPRESSORS) {
          const one: Case = { layer, form, compressor };
          const name = nameOf(one);
          if (!only.every(text => name.includes(text))) continue;
          process.stderr.write(`${name} …\n`);
          rows.push(await rowOf(one, { sources, work, runs, reference }));
        }
      }
      if (kept === undefined) sources.forget(layer);
    }
  } finally {
    if (kept === undefined) rmSync(work, { recursive: true, force: true });
  }
  const facts = {
    ...machine(),
    'rafs-stream': versionOf(OURS),
    'nydus-image': reference ? versionOf([reference]) : 'not measured',
    runs: `${runs}, medians`,
    scale: String(scale),
  };
  const text = table({ facts, layers, rows, skipped });
  process.stdout.write(text);
  if (output !== undefined) writeFileSync(output, text);
};

await main();
