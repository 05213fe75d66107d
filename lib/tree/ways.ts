/**
 * Ways to entries, through the symlinks of their own layer and of the layers below it. As in
 * containerd, nothing leads out of the root, and a '..' in the target of a symlink takes back what
 * the path says, not where that leads.
 */
import { RafsError } from '../errors.js';
import { OCI_OPAQUE, OCI_PREFIX } from '../layer/whiteout.js';
import { DETOURS_PER_ENTRY, FREE_DETOURS, MAX_LINKS, MAX_PATH } from '../model/limits.js';
import { linkedPath } from '../tar/path.js';
import type { InodeType } from '../model/stored.js';

export const NOTHING = -1;

/** Where a path leads. */
export interface Destination {
  /** names from the root on, none of them a symlink, but maybe the last */
  names: readonly string[];
  /** what is there, or NOTHING */
  row: number;
  /** path of what is on the way and is no directory */
  obstacle?: string;
}

/** The roots that a way begins at: of a layer, and of what it is laid over, which may be NOTHING. */
export interface Roots {
  upper: number;
  lower: number;
}

/** What a way is found in: rows with names below rows. */
interface Tree {
  /** NOTHING if a directory does not have the name */
  child(parent: number, name: string): number;
  isType(row: number, type: InodeType): boolean;
  /** of a symlink */
  target(row: number): string;
  /** 1 if an entry below it is all that speaks of a directory */
  readonly implied: { get(row: number): number };
}

export class Ways {
  readonly #tree: Tree;
  #detours = 0; // names that symlinks have added

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  /**
   * Follows a path; with `end`, also a symlink at its end. `entries` says how many there have been
   * so far. A path that never ends leads to an obstacle; LIMIT if symlinks lead through too much.
   */
  follow(
    path: string,
    roots: Roots,
    { end, entries }: { end: boolean; entries: number },
  ): Destination {
    const tree = this.#tree;
    let names = path === '' ? [] : path.split('/');
    let { upper, lower } = roots;
    let links = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const isLast = i + 1 === names.length;
      let above = upper === NOTHING ? NOTHING : tree.child(upper, name);
      let below = lower === NOTHING || this.#hides(upper, name) ? NOTHING : tree.child(lower, name);
      if (above !== NOTHING && !isTransparent(tree, above)) {
        if (!tree.isType(above, 'directory') || !isDirectory(tree, below)) below = NOTHING;
      }
      // a directory that is only implied may be one below, or a symlink there
      const link = isSymlink(tree, above) ? above : isSymlink(tree, below) ? below : NOTHING;
      if (link !== NOTHING && (end || !isLast)) {
        names = this.#detour(names, i, tree.target(link), entries);
        links += 1;
        if (links > MAX_LINKS) return { names, row: NOTHING, obstacle: path };
        ({ upper, lower } = roots);
        i = -1;
        continue;
      }
      if (link === below && link !== NOTHING) above = NOTHING;
      if (!isLast && above !== NOTHING && !tree.isType(above, 'directory')) {
        return { names, row: NOTHING, obstacle: names.slice(0, i + 1).join('/') };
      }
      if (!isLast && below !== NOTHING && !tree.isType(below, 'directory')) {
        // an entry replaces a file that is in its way, but not one that a symlink leads to
        if (links > 0) return { names, row: NOTHING, obstacle: names.slice(0, i + 1).join('/') };
        below = NOTHING;
      }
      upper = above;
      lower = below;
      if (upper === NOTHING && lower === NOTHING) return { names, row: NOTHING };
    }
    return { names, row: upper === NOTHING ? lower : upper };
  }

  /** Whether a whiteout in a directory of the layer hides a name below it. */
  #hides(directory: number, name: string): boolean {
    const tree = this.#tree;
    return (
      directory !== NOTHING &&
      (tree.child(directory, OCI_OPAQUE) !== NOTHING ||
        tree.child(directory, OCI_PREFIX + name) !== NOTHING)
    );
  }

  /** The names from the root on, once the symlink at `names[at]` is followed. */
  #detour(names: readonly string[], at: number, target: string, entries: number): string[] {
    const to = linkedPath(names.slice(0, at).join('/'), target);
    const rest = names.slice(at + 1);
    const way = to === '' ? rest : [...to.split('/'), ...rest];
    const place = { path: names.join('/') };
    if (to.length + rest.length > MAX_PATH) {
      throw new RafsError('LIMIT', `a symlink leads to a path over ${MAX_PATH} bytes`, place);
    }
    this.#detours += way.length + 1;
    if (this.#detours > FREE_DETOURS + DETOURS_PER_ENTRY * entries) {
      const through = `through ${this.#detours} names, which are too many`;
      const message = `the symlinks on the way to ${entries} entries lead ${through}`;
      throw new RafsError('LIMIT', message, place);
    }
    return way;
  }
}

const isSymlink = (tree: Tree, row: number): boolean =>
  row !== NOTHING && tree.isType(row, 'symlink');

const isDirectory = (tree: Tree, row: number): boolean =>
  row !== NOTHING && tree.isType(row, 'directory');

/** Whether a row says nothing of its own. */
const isTransparent = (tree: Tree, row: number): boolean =>
  tree.isType(row, 'directory') && tree.implied.get(row) === 1;
