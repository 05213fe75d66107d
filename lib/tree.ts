/**
 * The tree of inodes of a layer, as columns: row 0 is the root.
 *
 * Rules of insertion are those of OCI layers: a later entry replaces an earlier one of the same
 * path, a directory keeps its children when it is described again, missing parents are made.
 */
import { ByteArena, Column, RowIndex } from './columns.js';
import { RafsError } from './errors.js';
import type { Entry, EntryType } from './parts.js';

/** File type bits of a mode, as in stat(2). */
export const S_IFMT = 0o170000;
export const MODE_OF_TYPE: Readonly<Record<EntryType, number>> = {
  file: 0o100000,
  hardlink: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
};
/** Device number of what has none, as nydus-image records it for tar entries. */
const NO_DEVICE = 0xffffffff;
const NAME_LIMIT = 255; // of every file system that could mount the image

export type Xattrs = ReadonlyMap<string, Buffer>;

export class Tree {
  readonly parent = new Column(Uint32Array);
  readonly mode = new Column(Uint16Array); // type and permissions
  readonly uid = new Column(Uint32Array);
  readonly gid = new Column(Uint32Array);
  readonly mtime = new Column(Float64Array);
  readonly mtimeNsec = new Column(Uint32Array);
  readonly size = new Column(Float64Array);
  readonly rdev = new Column(Uint32Array);
  /** names of one file have one source number; every other inode has its own */
  readonly source = new Column(Uint32Array);
  /** rows of the chunk list: first and count */
  readonly firstChunk = new Column(Uint32Array);
  readonly chunkCount = new Column(Uint32Array);
  /** number of its set of xattrs; 0 for none */
  readonly xattrs = new Column(Uint32Array);
  /** the distinct sets of xattrs, by that number */
  readonly xattrSets: (Xattrs | undefined)[] = [undefined];

  readonly #arena = new ByteArena();
  readonly #nameAt = new Column(Float64Array);
  readonly #nameSize = new Column(Uint16Array);
  readonly #targetAt = new Column(Float64Array);
  readonly #targetSize = new Column(Uint32Array);
  readonly #firstChild = new Column(Uint32Array); // 0 for none: the root is nobody's child
  readonly #nextSibling = new Column(Uint32Array);
  readonly #index = new RowIndex(row => this.#hash(this.parent.get(row), this.name(row)));
  readonly #setNumbers = new Map<string, number>();
  #nextSource = 1;
  // the directory that was used last, since entries come directory by directory
  #cachedPath = '';
  #cachedRow = 0;

  constructor() {
    this.#append(0, '');
    this.#describeMissing(0);
  }

  /** How many rows there are, also those that are no longer reachable. */
  get count(): number {
    return this.parent.length;
  }

  /** How many source numbers there are. */
  get sourceCount(): number {
    return this.#nextSource;
  }

  name(row: number): string {
    return this.#arena.text(this.#nameAt.get(row), this.#nameSize.get(row));
  }

  nameSize(row: number): number {
    return this.#nameSize.get(row);
  }

  /** A view of the name's bytes, valid until the next insertion. */
  nameBytes(row: number): Buffer {
    return this.#arena.view(this.#nameAt.get(row), this.#nameSize.get(row));
  }

  /** Target of a symlink. */
  target(row: number): string {
    return this.#arena.text(this.#targetAt.get(row), this.#targetSize.get(row));
  }

  path(row: number): string {
    let path = row === 0 ? '' : this.name(row);
    for (let up = this.parent.get(row); up !== 0; up = this.parent.get(up)) {
      path = `${this.name(up)}/${path}`;
    }
    return path;
  }

  isType(row: number, type: EntryType): boolean {
    return (this.mode.get(row) & S_IFMT) === MODE_OF_TYPE[type];
  }

  /** Byte order of two names. */
  compareNames(a: number, b: number): number {
    return this.#arena.compare(
      this.#nameAt.get(a),
      this.#nameSize.get(a),
      this.#nameAt.get(b),
      this.#nameSize.get(b),
    );
  }

  /** Appends the children of a directory to `rows`, in no order. */
  childrenInto(rows: number[], row: number): void {
    for (let c = this.#firstChild.get(row); c !== 0; c = this.#nextSibling.get(c)) rows.push(c);
  }

  /** The row at a path, or -1. */
  find(path: string): number {
    let row = 0;
    for (const name of path === '' ? [] : path.split('/')) {
      row = this.#child(row, name);
      if (row < 0) return -1;
    }
    return row;
  }

  /** Adds or replaces an entry; returns its row. Chunks are set by `setChunks` once they are known. */
  insert(entry: Entry): number {
    if (entry.type === 'hardlink') return this.#link(entry);
    const row = this.#place(entry);
    this.#describe(row, entry);
    this.source.data[row] = this.#nextSource++;
    this.size.data[row] = entry.type === 'symlink' ? entry.target!.length : entry.size;
    this.setChunks(row, 0, 0);
    this.xattrs.data[row] = this.#setNumber(entry.xattrs);
    if (entry.type === 'symlink') {
      this.#targetAt.data[row] = this.#arena.addText(entry.target!);
      this.#targetSize.data[row] = entry.target!.length;
    }
    return row;
  }

  setChunks(row: number, first: number, count: number): void {
    this.firstChunk.data[row] = first;
    this.chunkCount.data[row] = count;
  }

  /** Takes a row and all below it out of the tree. */
  remove(row: number): void {
    const parent = this.parent.get(row);
    let before = 0;
    let at = this.#firstChild.get(parent);
    while (at !== row) {
      before = at;
      at = this.#nextSibling.get(at);
    }
    const next = this.#nextSibling.get(row);
    if (before === 0) this.#firstChild.data[parent] = next;
    else this.#nextSibling.data[before] = next;
    this.#index.remove(this.#hash(parent, this.name(row)), row);
    this.#clear(row);
  }

  /** A further name of a file: content and xattrs of the target, owner, mode and time its own. */
  #link(entry: Entry): number {
    const target = this.find(entry.target!);
    if (target < 0) {
      throw new RafsError('CORRUPT', `hardlink to '${entry.target!}', which is not there`, {
        path: entry.path,
      });
    }
    if (!this.isType(target, 'file')) {
      throw new RafsError('CORRUPT', `hardlink to '${entry.target!}', which is not a file`, {
        path: entry.path,
      });
    }
    const row = this.#place(entry);
    this.#describe(row, entry);
    for (const column of [this.source, this.size, this.firstChunk, this.chunkCount, this.xattrs]) {
      column.data[row] = column.get(target);
    }
    return row;
  }

  /** The row for an entry's path: the one that is there, without what it may not keep, or a new one. */
  #place({ path, type }: Entry): number {
    if (path === '') {
      if (type !== 'directory') throw new RafsError('CORRUPT', 'the root is not a directory');
      return 0;
    }
    const slash = path.lastIndexOf('/');
    const parent = this.#directory(slash < 0 ? '' : path.slice(0, slash));
    const name = path.slice(slash + 1);
    const row = this.#child(parent, name);
    if (row < 0) return this.#append(parent, name);
    if (type !== 'directory') this.#clear(row);
    return row;
  }

  #directory(path: string): number {
    if (path === this.#cachedPath) return this.#cachedRow;
    let row = 0;
    for (const name of path === '' ? [] : path.split('/')) {
      let next = this.#child(row, name);
      if (next < 0) {
        next = this.#append(row, name);
        this.#describeMissing(next);
      } else if (!this.isType(next, 'directory')) {
        throw new RafsError('CORRUPT', `'${this.path(next)}' is not a directory`, { path });
      }
      row = next;
    }
    this.#cachedPath = path;
    this.#cachedRow = row;
    return row;
  }

  #child(parent: number, name: string): number {
    return this.#index.find(
      this.#hash(parent, name),
      row =>
        this.parent.get(row) === parent &&
        this.#arena.equalsText(this.#nameAt.get(row), this.#nameSize.get(row), name),
    );
  }

  #append(parent: number, name: string): number {
    if (name.length > NAME_LIMIT) {
      throw new RafsError('LIMIT', `a name of ${name.length} bytes is over ${NAME_LIMIT}`, {
        path: name,
      });
    }
    const row = this.count;
    this.parent.push(parent);
    this.#nameAt.push(this.#arena.addText(name));
    this.#nameSize.push(name.length);
    this.#firstChild.push(0);
    this.#nextSibling.push(row === 0 ? 0 : this.#firstChild.get(parent));
    for (const column of [
      this.mode,
      this.uid,
      this.gid,
      this.mtime,
      this.mtimeNsec,
      this.size,
      this.rdev,
      this.source,
      this.firstChunk,
      this.chunkCount,
      this.xattrs,
      this.#targetAt,
      this.#targetSize,
    ]) {
      column.push(0);
    }
    if (row !== 0) {
      this.#firstChild.data[parent] = row;
      this.#index.add(this.#hash(parent, name), row);
    }
    return row;
  }

  #describe(row: number, entry: Entry): void {
    this.mode.data[row] = MODE_OF_TYPE[entry.type] | (entry.mode & 0o7777);
    this.uid.data[row] = entry.uid;
    this.gid.data[row] = entry.gid;
    this.mtime.data[row] = entry.mtime;
    this.mtimeNsec.data[row] = entry.mtimeNsec;
    this.rdev.data[row] = entry.rdev;
  }

  /** A directory that the source does not describe. */
  #describeMissing(row: number): void {
    this.mode.data[row] = MODE_OF_TYPE.directory | 0o755;
    this.rdev.data[row] = NO_DEVICE;
    this.source.data[row] = this.#nextSource++;
  }

  /** Drops all below a row. */
  #clear(row: number): void {
    const stack = [row];
    while (stack.length > 0) {
      const at = stack.pop()!;
      const from = stack.length;
      this.childrenInto(stack, at);
      for (let i = from; i < stack.length; i++) {
        const child = stack[i]!;
        this.#index.remove(this.#hash(at, this.name(child)), child);
      }
      this.#firstChild.data[at] = 0;
    }
    this.#cachedPath = '';
    this.#cachedRow = 0;
  }

  #hash(parent: number, name: string): number {
    let h = Math.imul(parent ^ 0x811c9dc5, 0x01000193);
    for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
    return (h ^ (h >>> 15)) >>> 0;
  }

  /** Layers repeat a few sets of xattrs many times (labels): each is kept once. */
  #setNumber(xattrs: Xattrs | undefined): number {
    if (!xattrs || xattrs.size === 0) return 0;
    const sorted = [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
    const key = sorted.map(([name, value]) => `${name}=${value.toString('base64')}`).join('\n');
    let number = this.#setNumbers.get(key);
    if (number === undefined) {
      number = this.xattrSets.length;
      this.xattrSets.push(new Map(sorted));
      this.#setNumbers.set(key, number);
    }
    return number;
  }
}
