/** Puts the layers where the builders find them: as a tar, gzipped, as a directory, or as a FIFO. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { LAYERS, type LayerName } from './layers.js';
import { finished } from './measure.js';

export const FORMS = ['tar', 'tar.gz', 'directory', 'fifo'] as const;
export type Form = (typeof FORMS)[number];

export interface Layer {
  name: string;
  about: string;
  /** forms it is measured in; one that is only a FIFO is never stored */
  forms: readonly Form[];
  /** a tar or a directory to use instead of a made layer */
  real?: string;
  made?: LayerName;
}

const STORED: readonly Form[] = ['tar', 'tar.gz', 'directory'];

/** The made layers, and the real ones that the environment names. */
export const layersOf = (env: NodeJS.ProcessEnv): { layers: Layer[]; missing: string[] } => {
  const layers: Layer[] = [];
  const missing: string[] = [];
  for (const [variable, name, about] of [
    ['RAFS_BENCH_DEBIAN', 'debian-real', 'root file system of a Debian'],
    ['RAFS_BENCH_KERNEL', 'kernel-real', 'a kernel tree'],
  ] as const) {
    const real = env[variable];
    if (real) layers.push({ name, about, real, forms: STORED });
    else missing.push(`${name}: ${variable} names no tar and no directory`);
  }
  for (const [made, { about, scaled }] of Object.entries(LAYERS)) {
    layers.push({
      name: made,
      about,
      made: made as LayerName, // the keys of LAYERS
      forms: scaled === 'files' ? STORED : ['fifo'],
    });
  }
  return { layers, missing };
};

const MAKE_LAYER = fileURLToPath(new URL('make-layer.js', import.meta.url));

/** Keeps the forms of layers in a directory, each made when it is first wanted. */
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
        await shell('exec "$1" "$2" "$3" "$4" > "$5"', ...this.#maker(layer), part);
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

  /** Starts writing the layer into a FIFO, which it makes. */
  fifo(layer: Layer, at: string): ChildProcess {
    const script = 'mkfifo "$5" && exec "$1" "$2" "$3" "$4" > "$5"';
    const child = spawn('sh', ['-c', script, 'sh', ...this.#maker(layer), at], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return child;
  }

  /** Removes what was made of a layer. */
  forget(layer: Layer): void {
    for (const form of FORMS) rmSync(this.#path(layer, form), { recursive: true, force: true });
  }

  #path(layer: Layer, form: Form): string {
    const end = form === 'directory' ? '' : `.${form}`;
    return path.join(this.directory, `${layer.name}-${this.scale}${end}`);
  }

  #maker(layer: Layer): [string, string, string, string] {
    if (layer.made === undefined) throw new Error(`${layer.name} is not made`);
    return [process.execPath, MAKE_LAYER, layer.made, String(this.scale)];
  }
}

const XATTRS = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];

const isDirectory = (at: string): boolean => statSync(at).isDirectory();

const shell = (line: string, ...argv: readonly string[]): Promise<void> =>
  finished(['sh', '-c', line, 'sh', ...argv]);

/** Reads a file once, so that the first builder does not pay for the disk. */
export const warm = (at: string): Promise<void> =>
  isDirectory(at) ? finished(['tar', '-cf', '/dev/zero', '-C', at, '.']) : finished(['cksum', at]);

/** Waits until a FIFO is there. */
export const whenThere = async (at: string): Promise<void> => {
  while (!existsSync(at)) await new Promise(resolve => setTimeout(resolve, 10));
};
