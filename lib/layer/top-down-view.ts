/**
 * What of an image is visible, found while its layers are read from the top down: what an upper
 * layer has or hides is skipped in those below it. By the rules of the image spec.
 *
 * holds a mark for each visible path, and one for each name of the current layer that is hidden
 */
import type { Entry } from '../model/entry.js';
import { whiteoutOf, whiteoutTarget } from './whiteout.js';

/** Where the content of a name is that a hardlink names. */
export type LinkOrigin =
  /** under a name that is visible in this layer */
  | { kind: 'path'; path: string }
  /** in an entry of this layer, by its number, that itself is hidden */
  | { kind: 'entry'; number: number }
  /** under a name in the layers below */
  | { kind: 'below'; path: string };

/** What is to be done with an entry. */
export type View =
  | { kind: 'hidden' }
  | { kind: 'visible' }
  /** a visible further name of what another entry has */
  | { kind: 'link'; origin: LinkOrigin };

/** What upper layers say of a path. */
const Mark = {
  /** the directory, with its attributes, is there */
  DIRECTORY: 1,
  /** a directory for what lies in it, of which nothing is known yet */
  IMPLIED: 2,
  /** lower layers' children are hidden */
  OPAQUE: 4,
  /** lower layers' objects of the name are hidden, and all that is below them */
  CLOSED: 8,
  /** what is there is no directory */
  OBJECT: 16,
} as const;

const HIDDEN: View = { kind: 'hidden' };
const VISIBLE: View = { kind: 'visible' };

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

export class TopDownView {
  readonly #above = new Map<string, number>();
  /** what this layer says, which holds for those below it */
  #own = new Map<string, number>();
  /** names of this layer that are hidden, and visible ones that stand for such */
  #origins = new Map<string, LinkOrigin>();
  #layers = 0;
  #number = 0;

  /** The next layer below. */
  beginLayer(): void {
    for (const [path, mark] of this.#own) this.#above.set(path, this.#markAbove(path) | mark);
    this.#own = new Map();
    this.#origins = new Map();
    this.#layers += 1;
    this.#number = 0;
  }

  /** Number of the entry that was added last, within its layer. */
  get number(): number {
    return this.#number - 1;
  }

  /** Takes the next entry of the layer. */
  add(entry: Entry): View {
    const number = this.#number++;
    const { path, type } = entry;
    const whiteout = whiteoutOf('oci', entry);
    if (whiteout) {
      const target = whiteoutTarget('oci', entry);
      this.#mark(target, whiteout === 'removal' ? Mark.CLOSED : Mark.OPAQUE);
      return HIDDEN;
    }
    const isVisible = this.#isVisible(path, type === 'directory');
    if (type === 'directory') return isVisible ? VISIBLE : HIDDEN;
    const origin: LinkOrigin =
      type === 'hardlink' ? this.originOf(entry.target!) : { kind: 'entry', number };
    if (!isVisible) {
      this.#origins.set(path, origin);
      return HIDDEN;
    }
    if (type !== 'hardlink') {
      this.#origins.delete(path);
      return VISIBLE;
    }
    if (origin.kind === 'path') this.#origins.delete(path);
    else this.#origins.set(path, origin);
    return { kind: 'link', origin };
  }

  /** Where the content of a name of this layer is. */
  originOf(path: string): LinkOrigin {
    const known = this.#origins.get(path);
    if (known) return known;
    const isHere = ((this.#own.get(path) ?? 0) & Mark.OBJECT) !== 0;
    return { kind: isHere ? 'path' : 'below', path };
  }

  /** Whether this layer hides what those below it have under a name. */
  hidesBelow(path: string): boolean {
    const own = (at: string): number => this.#own.get(at) ?? 0;
    if (own(path) & Mark.CLOSED) return true;
    for (let at = path; at !== '';) {
      at = parentOf(at);
      if (own(at) & (Mark.CLOSED | Mark.OPAQUE)) return true;
    }
    return false;
  }

  #isVisible(path: string, isDirectory: boolean): boolean {
    // overlayfs shows the root of the topmost layer
    if (path === '') return this.#layers === 1;
    for (let at = path; at !== '';) {
      at = parentOf(at);
      if (this.#markAbove(at) & (Mark.CLOSED | Mark.OPAQUE)) return false;
    }
    const above = this.#markAbove(path);
    if (above & Mark.CLOSED) return false;
    if (isDirectory) {
      this.#mark(path, Mark.DIRECTORY);
      if (above & Mark.DIRECTORY) return false;
    } else {
      // it ends what lies below it, also where it is hidden by a directory
      this.#mark(path, Mark.CLOSED);
      if (above & (Mark.DIRECTORY | Mark.IMPLIED)) return false;
      this.#mark(path, Mark.OBJECT);
    }
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      if ((this.#own.get(at) ?? 0) & (Mark.DIRECTORY | Mark.IMPLIED)) break;
      this.#mark(at, Mark.IMPLIED);
    }
    return true;
  }

  #markAbove(path: string): number {
    return this.#above.get(path) ?? 0;
  }

  #mark(path: string, mark: number): void {
    this.#own.set(path, (this.#own.get(path) ?? 0) | mark);
  }
}
