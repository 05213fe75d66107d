/** Random stacks of tars, and what GNU tar makes of them with the whiteouts of OCI. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { isRoot } from '../process/fs.js';
import { tarOf, type TarEntry } from './tar.js';

const OPAQUE = '.wh..wh..opq';
/** Times of directories too, whatever comes after them. */
export const AS_IT_IS = ['--numeric-owner', '--delay-directory-restore'];
const NAMES = ['a', 'b', 'c', 'dir', 'lib'];

/** One entry, by numbers that are taken modulo what there is to choose from. */
export interface Step {
  /** one of the directories of the layer so far */
  parent: number;
  name: number;
  kind: number;
  mode: number;
  owner: number;
  mtime: number;
  /** size and bytes of a file; the target of a link */
  content: number;
}

/** The simplest step is a directory below the root; whiteouts are less simple than what they hide. */
const step: fc.Arbitrary<Step> = fc.record({
  parent: fc.nat(9),
  name: fc.nat(NAMES.length - 1),
  kind: fc.nat(9),
  mode: fc.nat(63),
  owner: fc.nat(8),
  mtime: fc.nat(1_000_000),
  content: fc.nat(11),
});

/** The steps of two to four layers. */
export const stackSteps: fc.Arbitrary<Step[][]> = fc.array(fc.array(step, { maxLength: 14 }), {
  minLength: 2,
  maxLength: 4,
});

/** The same from a source of numbers. */
export const randomSteps = (next: (limit: number) => number): Step[] =>
  Array.from({ length: next(25) + 1 }, () => ({
    parent: next(1000),
    name: next(1000),
    kind: next(10),
    mode: next(64),
    owner: next(9),
    mtime: next(1_000_000),
    content: next(12),
  }));

const SIZES = [10, 0, 5000, 70_000];

/** Entries of a layer: parents first, and all names of a file with the same attributes. */
export const layerOf = (steps: readonly Step[], whiteouts: boolean): TarEntry[] => {
  const common = ({ owner, mtime }: Step): Pick<TarEntry, 'uid' | 'gid' | 'mtime'> => ({
    uid: isRoot ? (owner % 3) * 1000 : process.getuid!(),
    gid: isRoot ? Math.floor(owner / 3) : process.getgid!(),
    mtime: 1_000_000_000 + mtime,
  });
  const root = { owner: steps.length, mtime: steps.length } as Step; // of which no more is used
  const entries: TarEntry[] = [{ name: './', type: '5', mode: 0o755, ...common(root) }];
  const directories = [''];
  const files: TarEntry[] = [];
  const taken = new Set<string>();
  const add = (name: string, entry: TarEntry): void => {
    taken.add(name);
    entries.push(entry);
  };
  for (const step of steps) {
    const parent = directories[step.parent % directories.length]!;
    const plain = NAMES[step.name % NAMES.length]!;
    const { kind, mode } = step;
    const isWhiteout = whiteouts && kind >= 8;
    const name = parent + (isWhiteout ? (kind === 8 ? `.wh.${plain}` : OPAQUE) : plain);
    if (taken.has(name)) continue;
    const facts = { name, ...common(step) };
    if (isWhiteout) add(name, facts);
    else if (kind < 3) {
      add(name, { ...facts, name: `${name}/`, type: '5', mode: 0o700 + mode });
      directories.push(`${name}/`);
    } else if (kind < 6) {
      const content = Buffer.alloc(SIZES[step.content % 4]!, `${step.content % 3}`);
      const file = { ...facts, mode: 0o600 + mode, content };
      add(name, file);
      files.push(file);
    } else if (kind === 6 && files.length > 0) {
      const { content: _content, ...target } = files[step.content % files.length]!;
      add(name, { ...target, name, type: '1', link: target.name });
    } else add(name, { ...facts, type: '2', mode: 0o777, link: `to/${step.content % 5}` });
  }
  return entries;
};

/** Extracts a layer over what is there. */
export const applyLayer = async (
  root: string,
  entries: readonly TarEntry[],
  lowest: boolean,
): Promise<void> => {
  const at = (name: string): string => path.join(root, name);
  const isWhiteout = ({ name }: TarEntry): boolean => path.basename(name).startsWith('.wh.');
  for (const entry of lowest ? [] : entries.filter(isWhiteout)) {
    const directory = path.dirname(entry.name);
    const name = path.basename(entry.name);
    const there = list(at(directory));
    const names = name === OPAQUE ? there : there.filter(child => child === name.slice(4));
    for (const name of names)
      fs.rmSync(at(path.join(directory, name)), { recursive: true, force: true });
  }
  for (const entry of entries) {
    const there = lstat(at(entry.name));
    if (there && !(there.isDirectory() && entry.type === '5')) {
      fs.rmSync(at(entry.name).replace(/\/$/, ''), { recursive: true });
    }
  }
  const exclude = lowest ? [] : ['--exclude=.wh.*'];
  const argv = ['-xpf', '-', ...AS_IT_IS, ...exclude, '-C', root];
  const running = promisify(execFile)('tar', argv);
  running.child.stdin!.on('error', () => undefined); // it says itself why it ends
  running.child.stdin!.end(tarOf(entries));
  await running;
};

const lstat = (file: string): fs.Stats | undefined =>
  fs.lstatSync(file.replace(/\/$/, ''), { throwIfNoEntry: false });

const list = (directory: string): string[] =>
  fs.existsSync(directory) && fs.lstatSync(directory).isDirectory()
    ? fs.readdirSync(directory)
    : [];
