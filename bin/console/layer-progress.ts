/**
 * Progress of an image on stderr: a bar for each layer in work and one for all, or lines of JSON
 * for programs; and the table at the end. A timer looks at the layers and never keeps the process
 * alive.
 */
import { fdStream } from './log.js';
import { duration, sizeText, type ProgressMode } from './progress.js';

/** A layer as the display sees it; whoever converts it changes it. */
export interface LayerState {
  readonly layer: { readonly digest: string; readonly size: number };
  readonly counters: { readonly bytesIn: number; readonly bytesOut: number };
  readonly state: 'waiting' | 'running' | 'reused' | 'done' | 'failed';
  readonly seconds: number;
  readonly blob?: { readonly digest: string; readonly size: number };
}

export interface LayerProgressOptions {
  mode: ProgressMode;
  layers: readonly LayerState[];
  isTty?: boolean;
  write?: (text: string) => void;
  columns?: number;
  rows?: number;
}

export interface LayerDisplay {
  /** Clears what is drawn: for use before other output to the terminal. */
  hide(): void;
  /** Ends the display. */
  end(failed: boolean): void;
}

const INTERVAL = 200; // milliseconds
const SILENT: LayerDisplay = { hide() {}, end() {} };
const BAR_SIZE = 24;
const NAME_SIZE = 12;

export const startLayerProgress = ({
  mode,
  layers,
  isTty = process.stderr.isTTY === true,
  write = text => void fdStream(2).write(text),
  columns = process.stderr.columns || 80,
  rows = process.stderr.rows || 24,
}: LayerProgressOptions): LayerDisplay => {
  if (mode === 'none' || (mode === 'auto' && !isTty)) return SILENT;
  const started = performance.now();
  const elapsed = (): number => performance.now() - started;
  let lines = 0; // on the screen
  let ended = false;

  const clear = (): string => (lines > 0 ? `\x1b[${lines}A\r\x1b[J` : '');
  const drawBars = (): void => {
    const running = layers.filter(({ state }) => state === 'running').slice(0, rows - 2);
    const made = [...running.map(layerLine), totalLine(layers, elapsed())];
    write(clear() + made.map(line => `${line.slice(0, columns - 1)}\n`).join(''));
    lines = made.length;
  };
  const drawJson = (event: string): void => {
    for (const { layer, counters, state } of layers) {
      if (state !== 'running') continue;
      const { digest, size } = layer;
      const { bytesIn, bytesOut } = counters;
      const record = { event: 'layer', digest, size, bytes_in: bytesIn, bytes_out: bytesOut };
      write(`${JSON.stringify(record)}\n`);
    }
    const { bytesIn, bytesOut, size } = totals(layers);
    const record = {
      event,
      size,
      bytes_in: bytesIn,
      bytes_out: bytesOut,
      layers: layers.length,
      layers_done: layers.filter(isDone).length,
      elapsed_ms: Math.round(elapsed()),
    };
    write(`${JSON.stringify(record)}\n`);
  };
  const draw = mode === 'json' ? () => drawJson('progress') : drawBars;
  const timer = setInterval(draw, INTERVAL);
  timer.unref();
  return {
    hide() {
      if (mode === 'json' || ended) return;
      write(clear());
      lines = 0;
    },
    end(failed) {
      if (ended) return;
      clearInterval(timer);
      if (mode === 'json') drawJson(failed ? 'failed' : 'done');
      else drawBars();
      ended = true;
    },
  };
};

const isDone = ({ state }: LayerState): boolean => state === 'done' || state === 'reused';

/** What has come of all layers; one that need not be read counts as read. */
const totals = (layers: readonly LayerState[]) => {
  let [bytesIn, bytesOut, size] = [0, 0, 0];
  for (const one of layers) {
    size += one.layer.size;
    bytesIn += isDone(one) ? one.layer.size : one.counters.bytesIn;
    bytesOut += one.blob?.size ?? one.counters.bytesOut;
  }
  return { bytesIn, bytesOut, size };
};

const barOf = (share: number): string => {
  const full = Math.round(Math.min(1, share) * BAR_SIZE);
  return `[${'='.repeat(full)}${'-'.repeat(BAR_SIZE - full)}]`;
};

const shortName = (digest: string): string => digest.replace(/^.*:/, '').slice(0, NAME_SIZE);

const layerLine = ({ layer, counters }: LayerState): string => {
  const share = layer.size > 0 ? counters.bytesIn / layer.size : 1;
  const [bytesIn, size] = [sizeText(counters.bytesIn), sizeText(layer.size)];
  return `${shortName(layer.digest)} ${barOf(share)} ${bytesIn} of ${size}`;
};

const totalLine = (layers: readonly LayerState[], elapsed: number): string => {
  const { bytesIn, bytesOut, size } = totals(layers);
  const share = size > 0 ? bytesIn / size : 1;
  const rate = elapsed > 0 ? (bytesIn / elapsed) * 1000 : 0;
  const left = rate > 0 ? duration(Math.max(0, size - bytesIn) / rate) : '?';
  return (
    `${'image'.padEnd(NAME_SIZE)} ${barOf(share)} ${sizeText(bytesIn)} in, ` +
    `${sizeText(bytesOut)} out, ${sizeText(rate)}/s, ${left} left`
  );
};

/** One row for each layer: what it was, what it is now, and how long it took. */
export const layerTable = (layers: readonly LayerState[]): string => {
  const rows = layers.map(({ layer, blob, state, seconds }) => [
    shortName(layer.digest),
    sizeText(layer.size),
    blob ? sizeText(blob.size) : '-',
    state === 'reused' ? 'reused' : state === 'waiting' ? '-' : `${seconds.toFixed(1)} s`,
  ]);
  const all = [['layer', 'source', 'Nydus', 'time'], ...rows];
  const widths = [0, 1, 2, 3].map(column => Math.max(...all.map(row => row[column]!.length)));
  return all
    .map(row =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  '),
    )
    .join('\n');
};
