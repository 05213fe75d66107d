/** The table of a benchmark, as Markdown. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import type { Cost } from './measure.js';

export interface Row {
  layer: string;
  form: string;
  task: string;
  /** version of the Node that ran ours */
  node: string;
  runs: number;
  /** bytes of our output */
  size?: number;
  ours: Cost;
  peers: PeerCost[];
}

export interface PeerCost {
  name: string;
  cost: Cost;
  size?: number;
  /** whether its output and ours are the same bytes */
  same?: boolean;
}

export interface Report {
  facts: Readonly<Record<string, string>>;
  layers: readonly { name: string; about: string }[];
  rows: readonly Row[];
  skipped: readonly string[];
}

/** Where and when this runs. @param directory where layers and blobs lie */
export const machine = (directory: string): Record<string, string> => {
  const cpus = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown'}, ${gib(os.totalmem())} GiB`,
    system: `${os.type()} ${os.release()}`,
    files: `on ${execFileSync('stat', ['-f', '-c', '%T', directory], { encoding: 'utf8' }).trim()}`,
    node: process.version,
  };
};

/** The version that a builder reports, on one line. */
export const versionOf = ([program, ...argv]: readonly string[]): string => {
  const text = execFileSync(program!, [...argv, '--version'], { encoding: 'utf8' });
  return /Version:\s*(\S+)/.exec(text)?.[1] ?? text.split('\n')[0]!.split(' ').at(-1)!;
};

const gib = (bytes: number): string => (bytes / 0x40000000).toFixed(0);
const mib = (kib: number): string => (kib / 1024).toFixed(0);
const seconds = (s: number): string => s.toFixed(s < 1 ? 3 : 2);
const megabytes = (size: number | undefined): string =>
  size === undefined ? '' : (size / 0x100000).toFixed(1);

/** A row for every peer, or one row if there is none. */
const cells = ({ layer, form, task, node, runs, size, ours, peers }: Row): string[][] => {
  const first = [layer, form, task, node, megabytes(size), seconds(ours.wall)];
  const mine = [seconds(ours.cpu), mib(ours.rss)];
  if (peers.length === 0) {
    return [[...first, '–', '–', '', mine[0]!, '–', '', mine[1]!, '–', '', '', String(runs)]];
  }
  return peers.map(({ name, cost, size: theirs, same }) => [
    ...first,
    name,
    seconds(cost.wall),
    (ours.wall / cost.wall).toFixed(2),
    mine[0]!,
    seconds(cost.cpu),
    (ours.cpu / cost.cpu).toFixed(2),
    mine[1]!,
    mib(cost.rss),
    (ours.rss / cost.rss).toFixed(2),
    same === undefined ? '' : same ? 'yes' : `no, ${megabytes(theirs)}`,
    String(runs),
  ]);
};

const HEADER = [
  'layer',
  'source',
  'task',
  'Node',
  'made MiB',
  'wall s',
  'peer',
  'its wall s',
  'wall ratio',
  'CPU s',
  'its CPU s',
  'CPU ratio',
  'RSS MiB',
  'its RSS MiB',
  'RSS ratio',
  'same bytes',
  'runs',
];
const TEXTS = [0, 1, 2, 3, 6, 15];

const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |\n`;

export const table = ({ facts, layers, rows, skipped }: Report): string => {
  const named = new Set(rows.map(row => row.layer));
  return [
    '# Results\n\n',
    'Made by `npm run bench`: every program does the same work on the same input, in turns. The ',
    'figures are medians. CPU is user and system time of all threads, RSS the peak; a ratio below ',
    '1 says that we take less. "same bytes" is whether what was made is equal, with the size of ',
    "the peer's in MiB where it is not. Layers that come through a FIFO are made while they are ",
    'read, on the same cores. Native blobs have `--blob-inline-meta --features blob-toc`; the bytes ',
    'of `targz-ref` and `tarfs` are those of the bootstrap.\n\n',
    ...Object.entries(facts).map(([key, value]) => `- ${key}: ${value}\n`),
    ...layers.filter(({ name }) => named.has(name)).map(one => `- ${one.name}: ${one.about}\n`),
    ...skipped.map(text => `- skipped: ${text}\n`),
    '\n',
    line(HEADER),
    line(HEADER.map((_, i) => (TEXTS.includes(i) ? '---' : '---:'))),
    ...rows.flatMap(row => cells(row).map(line)),
  ].join('');
};
