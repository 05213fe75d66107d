/** Provides layers to the builders: as a tar, a gzipped tar, a directory or a FIFO. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAYERS, type LayerName } from './layers.js';
import { finished } from './measure.js';

export const FORMS = ['tar', 'tar.gz', 'directory', 'fifo'] as const;
export type Form = (typeof FORMS)[number];

/** What is measured on a layer; `native` is with every compressor, `zstd` with that one only. */
export type Task =
  | 'native'
  | 'zstd'
  | 'batches'
  | 'zran'
  | 'tarfs'
  | 'export'
  | 'unpack'
  | 'check'
  | 'merge'
  | 'version';

export interface Layer {
  name: string;
  about: string;
  /** forms it is measured in; a layer that is only a FIFO is never stored */
  forms: readonly Form[];
  tasks: readonly Task[];
  /** most runs, since each takes long */
  mostRuns?: number;
  /** a tar or a directory to use instead of a generated layer */
  real?: string;
  made?: LayerName;
}

const STORED: readonly Form[] = ['tar', 'tar.gz', 'directory'];

const OF_REAL: readonly Task[] = ['native', 'batches', 'zran', 'tarfs', 'export', 'unpack'];

/** What each generated layer is used for. */
const OF_MADE: Readonly<Record<LayerName, Pick<Layer, 'forms' | 'tasks' | 'mostRuns'>>> = {
  ten: { forms: ['tar'], tasks: ['version', 'zstd'] },
  '3m': { forms: ['tar'], tasks: ['zstd'] },
  debian: { forms: STORED, tasks: OF_REAL },
  kernel: { forms: STORED, tasks: [...OF_REAL, 'merge'] },
  '10k': { forms: ['tar'], tasks: ['zstd'] },
  '100k': { forms: ['tar'], tasks: ['zstd'] },
  million: { forms: ['tar'], tasks: ['zstd', 'tarfs', 'check'], mostRuns: 3 },
  '1g': { forms: ['fifo'], tasks: ['zstd'], mostRuns: 3 },
  '4g': { forms: ['fifo'], tasks: ['zstd'], mostRuns: 3 },
  '10g': { forms: ['fifo'], tasks: ['zstd'], mostRuns: 3 },
};

/** Generated layers, and real ones that the environment names instead of those like them. */
export const layersOf = (env: NodeJS.ProcessEnv): { layers: Layer[]; missing: string[] } => {
  const layers: Layer[] = [];
  const missing: string[] = [];
  const instead = new Set<LayerName>();
  for (const [variable, name, about, like] of [
    ['RAFS_BENCH_DEBIAN', 'debian-real', 'root file system of a Debian', 'debian'],
    ['RAFS_BENCH_KERNEL', 'kernel-real', 'a kernel tree', 'kernel'],
  ] as const) {
    const real = env[variable];
    if (real) {
      layers.push({ name, about, real, forms: STORED, tasks: OF_REAL });
      instead.add(like);
    } else missing.push(`${name}: ${variable} names no tar and no directory`);
  }
  for (const made of Object.keys(LAYERS) as LayerName[]) {
    const layer: Layer = { name: made, about: LAYERS[made].about, made, ...OF_MADE[made] };
    const tasks = layer.tasks.filter(task => !instead.has(made) || !OF_REAL.includes(task));
    if (tasks.length > 0) layers.push({ ...layer, tasks });
  }
  return { layers, missing };
};

const MAKE_LAYER = fileURLToPath(new URL('make-layer.js', import.meta.url));

/** Keeps the forms of layers in a directory, each made when first needed. */
export class Sources {
  readonly directory: string;
  readonly scale: number;

  constructor(directory: string, scale: number) {
    this.directory = directory;
    this.scale = scale;
    mkdirSync(directory, { recursive: true });
  }

  /** Path of a stored form. */
  async stored(layer: Layer, form: Exclude<Form, 'fifo'>): Promise<string> {
    const at = this.#path(layer, form);
    if (existsSync(at)) return at;
    const part = `${at}.part`;
    rmSync(part, { recursive: true, force: true });
    if (form === 'tar') {
      if (layer.real === undefined) {
        await shell('exec "$1" "$2" "$3" "$4" > "$5"', ...this.maker(layer), part);
      } else if (isDirectory(layer.real)) {
        await finished(['tar', ...XATTRS, '-cf', part, '-C', layer.real, '.']);
      } else return layer.real;
    } else if (form === 'tar.gz') {
      const tar = await this.stored(layer, 'tar');
      await shell('exec gzip -6 < "$1" > "$2"', tar, part);
    } else {
      if (layer.real !== undefined && isDirectory(layer.real)) return layer.real;
      const tar = await this.stored(layer, 'tar');
      mkdirSync(part);
      await finished(['tar', ...XATTRS, '-xpf', tar, '-C', part]);
    }
    await finished(['mv', part, at]);
    return at;
  }

  /** Creates a FIFO and starts writing the layer into it. */
  fifo(layer: Layer, at: string): ChildProcess {
    const script = 'mkfifo "$5" && exec "$1" "$2" "$3" "$4" > "$5"';
    const child = spawn('sh', ['-c', script, 'sh', ...this.maker(layer), at], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return child;
  }

  /** Removes the stored forms of a layer. */
  forget(layer: Layer): void {
    for (const form of FORMS) rmSync(this.#path(layer, form), { recursive: true, force: true });
  }

  #path(layer: Layer, form: Form): string {
    const end = form === 'directory' ? '' : `.${form}`;
    return path.join(this.directory, `${layer.name}-${this.scale}${end}`);
  }

  /** The command that makes a layer; a seed may follow. */
  maker(layer: Layer): [string, string, string, string] {
    if (layer.made === undefined) throw new Error(`${layer.name} is not made`);
    return [process.execPath, MAKE_LAYER, layer.made, String(this.scale)];
  }
}

const XATTRS = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];

const isDirectory = (at: string): boolean => statSync(at).isDirectory();

export const shell = (line: string, ...argv: readonly string[]): Promise<void> =>
  finished(['sh', '-c', line, 'sh', ...argv]);

/** Reads a file once, so that the first builder does not pay for the disk. */
export const warm = (at: string): Promise<void> =>
  isDirectory(at) ? finished(['tar', '-cf', '/dev/zero', '-C', at, '.']) : finished(['cksum', at]);

/** Waits until a FIFO exists. */
export const whenThere = async (at: string): Promise<void> => {
  while (!existsSync(at)) await new Promise(resolve => setTimeout(resolve, 10));
};
