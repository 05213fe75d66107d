/** Wall time and memory against the size of a layer and its number of files, as an SVG. */
import { LAYERS, type LayerName } from './layers.js';
import type { Cost } from './measure.js';
import type { Row } from './report.js';

export interface Panel {
  title: string;
  /** the unit after the numbers on the axis */
  x: string;
  y: string;
  lines: { name: string; points: [x: number, y: number][] }[];
}

/** Layers of the same kind that differ in one measure. */
const SERIES: readonly {
  x: string;
  of: string;
  layers: readonly LayerName[];
  measure: (name: LayerName) => number;
}[] = [
  {
    of: 'layers of 12 files',
    x: 'GB',
    layers: ['1g', '4g', '10g'],
    measure: name => Number.parseInt(name, 10),
  },
  {
    of: 'layers of small files',
    x: 'files',
    layers: ['10k', '100k', 'million'],
    measure: name => LAYERS[name].files,
  },
];

const FIGURES: readonly { title: string; y: string; of: (cost: Cost) => number }[] = [
  { title: 'Wall time', y: 's', of: cost => cost.wall },
  { title: 'Peak memory', y: 'MiB', of: cost => cost.rss / 1024 },
];

/** Panels of the rows that pack the layers of a series with zstd; without such rows, no panel. */
export const panelsOf = (rows: readonly Row[]): Panel[] =>
  SERIES.flatMap(({ of, x, layers: names, measure }) =>
    FIGURES.flatMap(({ title, y, of: figure }) => {
      const lines = new Map<string, [number, number][]>();
      for (const name of names) {
        const row = rows.find(({ layer, task }) => layer === name && task === 'zstd');
        if (!row) continue;
        for (const [side, cost] of [
          ['rafs-stream', row.ours] as const,
          ...row.peers.map(peer => [peer.name, peer.cost] as const),
        ]) {
          const points = lines.get(side) ?? [];
          points.push([measure(name), figure(cost)]);
          lines.set(side, points);
        }
      }
      if (lines.size === 0) return [];
      const named = [...lines].map(([name, points]) => ({ name, points }));
      return [{ title: `${title}, ${of}`, x, y, lines: named }];
    }),
  );

const WIDTH = 420;
const HEIGHT = 260;
const LEFT = 62;
const RIGHT = 20;
const TOP = 34;
const BOTTOM = 40;
const COLORS = ['#0b62c4', '#c2410c', '#4d7c0f'];

/** Draws panels in two columns. Both axes of each are logarithmic. */
export const svg = (panels: readonly Panel[]): string => {
  const rows = Math.ceil(panels.length / 2);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${rows * HEIGHT}" `,
    'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n',
    ...panels.map((panel, i) =>
      [
        `<g transform="translate(${(i % 2) * WIDTH} ${Math.floor(i / 2) * HEIGHT})">\n`,
        drawn(panel),
        '</g>\n',
      ].join(''),
    ),
    '</svg>\n',
  ].join('');
};

/** Where values lie on an axis from `from` to `to`. */
const axis = (values: readonly number[], from: number, to: number) => {
  const low = Math.min(...values);
  const high = Math.max(...values);
  // room above and below, more if all values are about the same
  const margin = Math.max(1.15, Math.sqrt(4 / (high / low)));
  const [least, most] = [Math.log(low / margin), Math.log(high * margin)];
  return {
    at: (value: number): number =>
      from + ((Math.log(value) - least) / (most - least)) * (to - from),
    has: (value: number): boolean => value >= low / margin && value <= high * margin,
  };
};

/** 1, 2 and 5 times the powers of ten. */
const TICKS = Array.from({ length: 10 }, (_, i) => 10 ** (i - 2)).flatMap(power => [
  power,
  2 * power,
  5 * power,
]);

const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : `${+value.toPrecision(3)}`;

const text = (x: number, y: number, anchor: string, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${content}</text>\n`;

const drawn = ({ title, x, y, lines }: Panel): string => {
  const points = lines.flatMap(line => line.points);
  const across = axis(
    points.map(point => point[0]),
    LEFT,
    WIDTH - RIGHT,
  );
  const up = axis(
    points.map(point => point[1]),
    HEIGHT - BOTTOM,
    TOP,
  );
  const parts = [text(LEFT, 20, 'start', title, ' font-weight="bold"')];
  for (const tick of TICKS.filter(value => up.has(value))) {
    const at = up.at(tick).toFixed(1);
    parts.push(`<path d="M${LEFT} ${at}H${WIDTH - RIGHT}" stroke="#ddd"/>\n`);
    parts.push(text(LEFT - 6, up.at(tick) + 4, 'end', `${short(tick)} ${y}`));
  }
  for (const value of new Set(points.map(point => point[0]))) {
    const at = across.at(value);
    parts.push(`<path d="M${at.toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/>\n`);
    parts.push(text(at, HEIGHT - BOTTOM + 18, 'middle', `${short(value)} ${x}`));
  }
  for (const [i, line] of lines.entries()) {
    const color = COLORS[i % COLORS.length]!;
    const places = line.points.map(([a, b]) => [across.at(a).toFixed(1), up.at(b).toFixed(1)]);
    parts.push(
      `<path d="M${places.map(place => place.join(' ')).join('L')}" fill="none" stroke="${color}" stroke-width="2"/>\n`,
      ...places.map(([a, b]) => `<circle cx="${a}" cy="${b}" r="3" fill="${color}"/>\n`),
      text(LEFT + 8 + 110 * i, HEIGHT - 6, 'start', line.name, ` fill="${color}"`),
    );
  }
  return parts.join('');
};
