/** The table of a benchmark, as Markdown. */
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import type { Cost } from './measure.js';

export interface Row {
  layer: string;
  form: string;
  compressor: string;
  blobSize: number;
  ours: Cost;
  /** of nydus-image, where it was measured */
  theirs?: Cost;
  /** both blobs are the same bytes */
  same?: boolean;
}

export interface Report {
  facts: Readonly<Record<string, string>>;
  layers: readonly { name: string; about: string }[];
  rows: readonly Row[];
  skipped: readonly string[];
}

/** Where and when this is. */
export const machine = (): Record<string, string> => {
  const cpus = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown'}, ${gib(os.totalmem())} GiB`,
    system: `${os.type()} ${os.release()}`,
    node: process.version,
  };
};

/** What a builder says it is, on one line. */
export const versionOf = ([program, ...argv]: readonly string[]): string => {
  const text = execFileSync(program!, [...argv, '--version'], { encoding: 'utf8' });
  return /Version:\s*(\S+)/.exec(text)?.[1] ?? text.split('\n')[0]!;
};

const gib = (bytes: number): string => (bytes / 0x40000000).toFixed(0);
const mib = (kib: number): string => (kib / 1024).toFixed(0);
const ratio = (a: number, b: number | undefined): string => (b ? (a / b).toFixed(2) : '');

const cells = ({ layer, form, compressor, blobSize, ours, theirs, same }: Row): string[] => [
  layer,
  form,
  compressor,
  (blobSize / 0x100000).toFixed(1),
  ours.wall.toFixed(2),
  theirs?.wall.toFixed(2) ?? '–',
  ratio(ours.wall, theirs?.wall),
  ours.cpu.toFixed(2),
  theirs?.cpu.toFixed(2) ?? '–',
  mib(ours.rss),
  theirs ? mib(theirs.rss) : '–',
  same === undefined ? '' : same ? 'yes' : 'no',
];

const HEADER = [
  'layer',
  'source',
  'compressor',
  'blob MiB',
  'wall s',
  'ref. wall s',
  'wall ratio',
  'CPU s',
  'ref. CPU s',
  'RSS MiB',
  'ref. RSS MiB',
  'same bytes',
];

const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |\n`;

export const table = ({ facts, layers, rows, skipped }: Report): string => {
  const named = new Set(rows.map(row => row.layer));
  return [
    '# Results\n\n',
    'Made by `npm run bench`. "ref." is nydus-image, run in turns with us on the same source with ',
    'the same options (`--blob-inline-meta --features blob-toc`). CPU is user and system time of ',
    'all threads, RSS the peak. A ratio below 1 says that we are faster. Layers that come through ',
    'a FIFO are made while they are read, on the same cores.\n\n',
    ...Object.entries(facts).map(([key, value]) => `- ${key}: ${value}\n`),
    ...layers.filter(({ name }) => named.has(name)).map(one => `- ${one.name}: ${one.about}\n`),
    ...skipped.map(text => `- skipped: ${text}\n`),
    '\n',
    line(HEADER),
    line(HEADER.map((_, i) => (i < 3 ? '---' : '---:'))),
    ...rows.map(row => line(cells(row))),
  ].join('');
};
