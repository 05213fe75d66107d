/**
 * Random stacks of layers as no packer writes them, but any may hold: entries below symlinks,
 * directories that are only implied, hardlinks of all kinds and across layers, whiteouts of every
 * kind, names that are not UTF-8.
 *
 * What a layer means may depend on the order of its entries, which an image does not keep. Whiteouts
 * come first here, and two entries of one layer never touch the same thing under two names.
 */
import fc from 'fast-check';
import type { TarEntry } from './tar.js';

const NAMES = ['a', 'b', 'c', 'd\xff'];
const KINDS = [
  ...['file', 'file', 'file', 'directory', 'directory', 'symlink', 'symlink', 'hardlink'],
  ...['hardlink', 'hardlink', 'fifo', 'char', 'removal', 'removal', 'opaque'],
] as const;
type Kind = (typeof KINDS)[number];

/** One entry, by numbers that are taken modulo what there is to choose from. */
interface Step {
  kind: Kind;
  names: readonly number[];
  /** what a link names */
  target: readonly number[];
  absolute: boolean;
  mode: number;
  owner: number;
  mtime: number;
  content: number;
  xattr: number;
}

const path = fc.array(fc.nat(NAMES.length - 1), { minLength: 1, maxLength: 3 });

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...KINDS),
  names: path,
  target: path,
  absolute: fc.boolean(),
  mode: fc.nat(0o777),
  owner: fc.nat(3),
  mtime: fc.nat(100_000),
  content: fc.nat(3),
  xattr: fc.nat(5),
});

/** The steps of one to four layers. */
export const layerStacks: fc.Arbitrary<Step[][]> = fc.array(fc.array(step, { maxLength: 12 }), {
  minLength: 1,
  maxLength: 4,
});

/** A file system with nothing but names and links. */
type Node =
  { is: 'other' } | { is: 'symlink'; target: string } | { is: 'directory'; xattr?: boolean };

const clean = (path: string): string => {
  const out: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') out.pop();
    else if (name !== '' && name !== '.') out.push(name);
  }
  return out.join('/');
};

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const under = (path: string, directory: string): boolean =>
  directory === '' || path.startsWith(`${directory}/`);

class Names {
  nodes = new Map<string, Node>();
  /** the symlinks that a name has led through since it was emptied */
  readonly followed = new Set<string>();

  /** Where a path leads; undefined if it goes in circles or through what is no directory. */
  resolve(path: string): string | undefined {
    let left = path === '' ? [] : path.split('/');
    let at = '';
    for (let links = 0; left.length > 0;) {
      const [name, ...rest] = left;
      const next = at === '' ? name! : `${at}/${name}`;
      const node = this.nodes.get(next);
      if (node?.is === 'symlink') {
        this.followed.add(next);
        links += 1;
        if (links > 40) return undefined;
        const { target } = node;
        const to = clean(target.startsWith('/') ? target : `${at}/${target}`);
        left = [...(to === '' ? [] : to.split('/')), ...rest];
        at = '';
        continue;
      }
      if (node?.is === 'other') return undefined;
      at = next;
      left = rest;
    }
    return at;
  }

  remove(path: string): void {
    this.clear(path);
    this.nodes.delete(path);
  }

  clear(path: string): void {
    for (const name of this.nodes.keys()) if (under(name, path)) this.nodes.delete(name);
  }

  makeParents(path: string): void {
    for (let up = parentOf(path); up !== ''; up = parentOf(up)) {
      if (!this.nodes.has(up)) this.nodes.set(up, { is: 'directory' });
    }
  }
}

export interface StackOfTars {
  layers: TarEntry[][];
  /** a layer has a hardlink to what only a lower one has */
  dependent: boolean;
}

/** The layers that steps make. */
export const stackOf = (stack: readonly (readonly Step[])[]): StackOfTars => {
  const names = new Names();
  let dependent = false;
  const layers = stack.map((steps, n) => {
    const layer = new LayerMaker(names);
    if (n > 0) for (const step of steps) layer.whiteout(step);
    for (const step of steps) layer.entry(step);
    dependent ||= layer.dependent;
    return layer.entries;
  });
  return { layers, dependent };
};

class LayerMaker {
  readonly entries: TarEntry[] = [];
  dependent = false;
  readonly #names: Names;
  /** what the entries name, as they say it and where that is */
  readonly #said = new Set<string>();
  readonly #touched = new Set<string>();
  readonly #hidden = new Set<string>();
  readonly #own = new Map<string, TarEntry>();

  constructor(names: Names) {
    this.#names = names;
    names.followed.clear();
  }

  whiteout({ kind, names }: Step): void {
    if (kind !== 'removal' && kind !== 'opaque') return;
    const said = textOf(names);
    const parent = kind === 'opaque' ? said : parentOf(said);
    const directory = this.#names.resolve(parent);
    if (directory === undefined) return;
    const real = kind === 'opaque' ? directory : joined(directory, baseOf(said));
    for (const other of this.#hidden) {
      if (other === real || under(other, real) || under(real, other)) return;
    }
    // another whiteout has gone through what this one deletes
    for (const other of this.#said) if (under(other, said)) return;
    // containerd makes a directory for a whiteout, which only some other entry may then replace
    if (directory !== '' && this.#names.nodes.get(directory)?.is !== 'directory') return;
    const before = new Map(this.#names.nodes);
    if (kind === 'opaque') this.#names.clear(real);
    else this.#names.remove(real);
    if (this.#names.resolve(parent) !== directory) {
      this.#names.nodes = before; // it would delete the symlink by which it is reached
      return;
    }
    this.#hidden.add(real);
    const whiteout = kind === 'opaque' ? '.wh..wh..opq' : `.wh.${baseOf(said)}`;
    this.#said.add(joined(parent, whiteout));
    this.entries.push({ name: joined(parent, whiteout) });
  }

  entry(step: Step): void {
    const { kind } = step;
    if (kind === 'removal' || kind === 'opaque') return;
    const said = textOf(step.names);
    const directory = this.#names.resolve(parentOf(said));
    if (directory === undefined) return;
    const real = joined(directory, baseOf(said));
    if (!this.#mayTouch(said, real, kind)) return;
    const isDirect = directory === parentOf(said);
    const entry = this.#entryOf(step, said, isDirect, real);
    if (!entry) return;
    this.#said.add(said);
    this.#touched.add(real);
    this.#names.makeParents(real);
    if (kind === 'directory') {
      if (this.#names.nodes.get(real)?.is !== 'directory') this.#names.remove(real);
      this.#names.nodes.set(real, { is: 'directory', xattr: entry.pax !== undefined });
    } else {
      this.#names.remove(real);
      const { link } = entry;
      const isSymlink = kind === 'symlink' && link !== undefined;
      this.#names.nodes.set(real, isSymlink ? { is: 'symlink', target: link } : { is: 'other' });
    }
    this.entries.push(entry);
    if (kind !== 'directory' && isDirect) this.#own.set(real, entry);
  }

  /** Whether the result is the same in whatever order the entries of the layer are laid. */
  #mayTouch(said: string, real: string, kind: Kind): boolean {
    if (this.#touched.has(real) || this.#said.has(said)) return false;
    const replaces = kind !== 'directory' || this.#names.nodes.get(real)?.is === 'symlink';
    if (!replaces) return true;
    if (this.#names.followed.has(real)) return false; // by an entry that comes before
    for (const other of this.#touched) if (under(other, real)) return false;
    for (const other of this.#said) if (under(other, said)) return false;
    return true;
  }

  #entryOf(step: Step, said: string, isDirect: boolean, real: string): TarEntry | undefined {
    const there = this.#names.nodes.get(real);
    // containerd leaves a directory its xattrs, though a snapshot of its own would have none of them
    const keepsXattr = step.kind === 'directory' && there?.is === 'directory' && there.xattr;
    const facts: TarEntry = {
      name: said,
      mode: step.mode,
      uid: step.owner,
      gid: step.owner + 1,
      mtime: 1_000_000_000 + step.mtime,
      ...((step.xattr === 0 && step.kind !== 'symlink') || keepsXattr
        ? { pax: [['SCHILY.xattr.security.x', String(step.mode)]] }
        : {}),
    };
    switch (step.kind) {
      case 'directory':
        return { ...facts, name: `${said}/`, type: '5' };
      case 'symlink': {
        const target = textOf(step.target);
        const up = step.content === 0 ? '../' : '';
        // a layer that is built alone does not know where its parent is
        if (!isDirect) return undefined;
        return { ...facts, type: '2', mode: 0o777, link: (step.absolute ? '/' : up) + target };
      }
      case 'hardlink': {
        const to = textOf(step.target);
        const directory = this.#names.resolve(parentOf(to));
        if (directory === undefined) return undefined;
        const target = joined(directory, baseOf(to));
        const node = this.#names.nodes.get(target);
        if (!node || node.is === 'directory' || target === real || under(target, real)) {
          return undefined;
        }
        if (node.is === 'symlink') return undefined;
        if (!this.#own.has(target) || directory !== parentOf(to)) this.dependent = true;
        return { ...facts, type: '1', link: to };
      }
      case 'fifo':
        return { ...facts, type: '6' };
      case 'char':
        return { ...facts, type: '3', device: [step.content, step.mode] };
      default:
        return { ...facts, content: String(step.content).repeat(step.content * 3000) };
    }
  }
}

const textOf = (names: readonly number[]): string => names.map(n => NAMES[n]!).join('/');
const baseOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const joined = (directory: string, name: string): string =>
  directory === '' ? name : `${directory}/${name}`;
