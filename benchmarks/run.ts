/**
 * How much time and memory our builder takes, compared with others.
 *
 *     npm run bench
 *     npm run bench -- --only debian,lz4_block --scale 0.1 --runs 1
 *
 * NYDUS_IMAGE is the path of nydus-image, MKFS_EROFS that of an mkfs.erofs that reads tars;
 * RAFS_BENCH_DEBIAN and RAFS_BENCH_KERNEL are real layers, as a tar or a directory. The programs
 * take turns on the same input.
 */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  mkdirSync,
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
import { panelsOf, svg } from './plot.js';
import { machine, table, versionOf, type Row } from './report.js';
import { layersOf, Sources, warm, whenThere } from './sources.js';
import {
  nameOf,
  OURS,
  peersOf,
  prepared,
  worksOf,
  type Peer,
  type Place,
  type Work,
} from './workloads.js';

const ROOT = new URL('../../', import.meta.url);
const RESULTS = fileURLToPath(new URL('benchmarks/RESULTS.md', ROOT));
const PLOT = fileURLToPath(new URL('docs/performance.svg', ROOT));

const USAGE = `usage: npm run bench -- [--only TEXT[,TEXT]...] [--runs N] [--scale F] [--output FILE]
                        [--plot FILE] [--work DIRECTORY] [--nodes VERSION[,VERSION]...]

  --only    rows whose names hold every one of these texts; a name is like 'debian tar.gz zstd'
  --runs    how often each program does each row [5, and 3 for the largest]; the table has medians
  --scale   share of every made layer that is made [1]
  --output  file for the table [benchmarks/RESULTS.md for a whole run, none otherwise]
  --plot    file for the plot [docs/performance.svg for a whole run, none otherwise]
  --nodes   versions of Node that run our builder, as npm has them, such as 22,24 [this one]
  --work    directory for layers and blobs, in which layers are kept [a temporary one]
`;

interface Options {
  only: string[];
  /** undefined for the default of each layer */
  runs: number | undefined;
  scale: number;
  output: string | undefined;
  plot: string | undefined;
  work: string | undefined;
  nodes: string[];
}

const RUNS = 5;

const options = (): Options => {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ only: text, runs: text, scale: text, output: text, plot: text, work: text },
      nodes: text,
    },
  });
  const whole = values.only === undefined && values.scale === undefined;
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  const scale = Number(values.scale ?? 1);
  if ((runs !== undefined && !(Number.isInteger(runs) && runs > 0)) || !(scale > 0 && scale <= 1)) {
    process.stderr.write(USAGE);
    process.exit(2);
  }
  return {
    only: values.only?.split(',') ?? [],
    runs,
    scale,
    output: values.output ?? (whole ? RESULTS : undefined),
    plot: values.plot ?? (whole ? PLOT : undefined),
    work: values.work,
    nodes: values.nodes?.split(',') ?? [],
  };
};

/** Does a work once; if the layer comes through a FIFO, it is filled meanwhile. */
const done = async (
  command: (place: Place) => string[],
  place: Place,
  { layer, form }: Work,
  sources: Sources,
): Promise<Cost> => {
  rmSync(place.out, { recursive: true, force: true });
  mkdirSync(place.out);
  if (form !== 'fifo') return measure(command(place));
  const fifo = `${place.out}.fifo`;
  rmSync(fifo, { force: true });
  const maker = sources.fifo(layer, fifo);
  const made = new Promise<number | null>(resolve => maker.once('close', resolve));
  try {
    await whenThere(fifo);
    const cost = await measure(command({ ...place, source: fifo }));
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

/** A Node that runs our builder. */
interface Runtime {
  version: string;
  path: string;
}

/** The Nodes of these versions, from the package registry; this one if none is asked for. */
const runtimesOf = (versions: readonly string[], directory: string): Runtime[] => {
  if (versions.length === 0) return [{ version: process.version, path: process.execPath }];
  return versions.map(asked => {
    const at = path.join(directory, 'nodes', asked);
    const node = path.join(at, 'node_modules/node/bin/node');
    if (!existsSync(node)) {
      mkdirSync(at, { recursive: true });
      execFileSync('npm', ['install', '--silent', '--prefix', at, `node@${asked}`]);
    }
    const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
    return { version, path: node };
  });
};

/** Our side of a work, run by that Node. */
const oursBy = (work: Work, { version, path: node }: Runtime): Peer => ({
  name: `Node ${version}`,
  command: place => [node, ...work.ours(place).slice(1)], // the first is this Node
});

interface Setting {
  sources: Sources;
  directory: string;
  runs: number;
  nodes: readonly Runtime[];
  /** is told the name of a peer that cannot do the work, which then is not in the row */
  failed: (peer: string) => void;
}

/** The rows of a work, one for each Node: all of them and the peers take turns. */
const rowsOf = async (
  work: Work,
  { sources, directory, runs, failed, nodes }: Setting,
): Promise<Row[]> => {
  const { layer, form, made, task } = work;
  const at = path.join(directory, 'run');
  rmSync(at, { recursive: true, force: true });
  const source = form && form !== 'fifo' ? await sources.stored(layer, form) : '';
  if (source) await warm(source);
  const place = await prepared(work, source, at);
  const sides = [...nodes.map(node => oursBy(work, node)), ...work.peers].map((side, i) => ({
    ...side,
    out: path.join(at, `out-${i}`),
    costs: [] as Cost[],
  }));
  const ours = sides.slice(0, nodes.length);
  const others = sides.slice(nodes.length);
  const failures = new Set<string>();
  for (let i = 0; i < runs; i++) {
    for (const side of sides) {
      const { name, command, out, costs } = side;
      if (failures.has(name)) continue;
      try {
        costs.push(await done(command, { ...place, out }, work, sources));
      } catch (error) {
        if (ours.includes(side)) throw error;
        failures.add(name);
        failed(name);
      }
    }
  }
  const theirs = others.filter(({ name }) => !failures.has(name));
  const rows = ours.map((side, i): Row => ({
    layer: layer.name,
    form: form ?? '',
    task,
    node: nodes[i]!.version,
    runs,
    ours: median(side.costs),
    peers: theirs.map(({ name, costs }) => ({ name, cost: median(costs) })),
  }));
  if (made !== undefined) {
    for (const [i, row] of rows.entries()) {
      const file = path.join(ours[i]!.out, made);
      row.size = statSync(file).size;
      const digest = await digestOf(file);
      for (const [k, { out }] of theirs.entries()) {
        const theirFile = path.join(out, made);
        row.peers[k]!.size = statSync(theirFile).size;
        row.peers[k]!.same = digest === (await digestOf(theirFile));
      }
    }
  }
  rmSync(at, { recursive: true });
  return rows;
};

const main = async (): Promise<void> => {
  const { only, runs, scale, output, plot, work: kept, nodes: versions } = options();
  const { peers, missing: missingPeers } = peersOf(process.env);
  const { layers, missing } = layersOf(process.env);
  const skipped = [...missing, ...missingPeers];
  for (const text of skipped) process.stderr.write(`skipped: ${text}\n`);

  const directory = kept ?? mkdtempSync(path.join(os.tmpdir(), 'rafs-bench-'));
  const sources = new Sources(path.join(directory, 'layers'), scale);
  const nodes = runtimesOf(versions, directory);
  const rows: Row[] = [];
  const here = machine(directory);
  try {
    for (const layer of layers) {
      for (const work of worksOf(layer, peers, sources)) {
        const name = nameOf(work);
        if (!only.every(text => name.includes(text))) continue;
        process.stderr.write(`${name} …\n`);
        const most = Math.min(RUNS, layer.mostRuns ?? RUNS);
        try {
          const failed = (peer: string): void => void skipped.push(`${name}: ${peer} failed`);
          const setting = { sources, directory, runs: runs ?? most, nodes, failed };
          rows.push(...(await rowsOf(work, setting)));
        } catch (error) {
          // the other rows have taken long: they must not be lost with this one
          const text = `${name} failed: ${(error as Error).message.split('\n')[0]}`;
          process.stderr.write(`${text}\n`);
          skipped.push(text);
          process.exitCode = 1;
        }
      }
      if (kept === undefined) sources.forget(layer);
    }
  } finally {
    if (kept === undefined) rmSync(directory, { recursive: true, force: true });
  }
  const facts = {
    ...here,
    'rafs-stream': versionOf(OURS),
    ...(peers.nydusImage ? { 'nydus-image': versionOf([peers.nydusImage]) } : {}),
    ...(peers.mkfsErofs ? { 'mkfs.erofs': versionOf([peers.mkfsErofs]) } : {}),
    scale: String(scale),
  };
  const text = table({ facts, layers, rows, skipped });
  process.stdout.write(text);
  if (output !== undefined) writeFileSync(output, text);
  if (plot !== undefined)
    writeFileSync(plot, svg(panelsOf(rows.filter(({ node }) => node === nodes[0]!.version))));
};

await main();
