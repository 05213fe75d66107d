/** What containerd makes of layers, by its own code: unpacks them one over the other. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { isRoot, temporaryDirectory } from '../process/fs.js';
import { buildGo } from './go.js';
import type { Name } from '../images/image-names.js';

/** What the program says of a name; names, targets and values are bytes in base64. */
interface Found extends Pick<Name, 'type' | 'mode' | 'uid' | 'gid' | 'mtime' | 'size'> {
  path: string;
  /** the first name of the same inode */
  inode: string;
  target?: string;
  major?: number;
  minor?: number;
  digest?: string;
  /** hex of names and values */
  xattrs?: Readonly<Record<string, string>>;
}

interface Answer {
  error?: string;
  layer?: number;
  names: readonly Found[] | null;
}

/** All names, or why the layers cannot be unpacked. */
export type Unpacked = { names: Name[]; error: undefined } | { names: undefined; error: string };

interface Test {
  teardown(work: () => unknown): void;
}

/** One process for all questions, which are answered in their order. */
export class LayerJudge {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: ((line: string) => void)[] = [];

  /** @param directory where it may unpack */
  constructor(program: string, directory: string) {
    this.#child = spawn(program, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: directory },
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on('line', line => this.#waiting.shift()!(line));
    this.#lines.on('close', () => {
      for (const answer of this.#waiting) answer('{"error":"the judge has ended"}');
    });
  }

  async unpack(layers: readonly Buffer[]): Promise<Unpacked> {
    const asked = JSON.stringify({ layers: layers.map(layer => layer.toString('base64')) });
    const line = await new Promise<string>(resolve => {
      this.#waiting.push(resolve);
      this.#child.stdin!.write(`${asked}\n`);
    });
    // the program is ours: what it says is what Answer says
    const { error, layer = 0, names } = JSON.parse(line) as Answer;
    if (!names) return { names: undefined, error: `layer ${layer}: ${error}` };
    return { names: names.map(nameOf), error: undefined };
  }

  end(): void {
    this.#child.stdin!.end();
  }
}

const text = (base64: string): string => Buffer.from(base64, 'base64').toString('latin1');
const hex = (digits: string): string => Buffer.from(digits, 'hex').toString('latin1');

const nameOf = ({ path, inode, target, major, minor, xattrs, ...rest }: Found): Name => ({
  ...rest,
  path: text(path),
  inode: text(inode),
  target: target === undefined ? '' : text(target),
  device: rest.type === 'char' || rest.type === 'block' ? `${major ?? 0}:${minor ?? 0}` : '',
  digest: rest.digest ?? '',
  xattrs: Object.entries(xattrs ?? {}).map(([key, value]) => `${hex(key)}=${value}`),
});

/** The judge for the tests of one file, or why there is none here. */
export const layerJudge = (
  t: Test,
): { judge: LayerJudge; missing: false } | { judge: undefined; missing: string } => {
  if (!isRoot) return { judge: undefined, missing: 'needs root' };
  const { program, missing } = buildGo('layer-judge');
  if (program === undefined) return { judge: undefined, missing };
  const judge = new LayerJudge(program, temporaryDirectory(t));
  t.teardown(() => judge.end());
  return { judge, missing: false };
};
