/**
 * The tree of inodes of an image, as columns: row 0 is the root.
 *
 * Rules of insertion are those of OCI layers: a later entry replaces an earlier one of the same
 * path, a directory keeps its children when it is described again, missing parents are made.
 *
 * The columns may hold several trees: every layer of an image has a root of its own until it is
 * laid over those below, which moves rows and copies none (lib/tree/overlay.ts).
 */
import { ByteArena, Column } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { FREE_IMPLIED, IMPLIED_PER_ENTRY, MAX_PATH } from '../model/limits.js';
import { NameTree } from './name-tree.js';
import type { Entry, EntryType } from '../model/entry.js';

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
/** Device number that nydus-image records for tar entries that have none. */
const NO_DEVICE = 0xffffffff;

export type Xattrs = ReadonlyMap<string, Buffer>;

/** What an image says of one of its inodes. */
export interface InodeAttributes {
  /** with the type bits */
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  size: number;
  rdev: number;
  /** a tar has this name as a hardlink, or as the target of one */
  hardlink?: boolean;
  /** of a symlink */
  target?: string;
  xattrs?: Xattrs;
}

const checkLengths = ({ path, target }: Entry): void => {
  if (path.length > MAX_PATH) {
    throw new RafsError(
      'LIMIT',
      `a path of ${path.length} bytes exceeds the limit of ${MAX_PATH}`,
      { path },
    );
  }
  if (target !== undefined && target.length > MAX_PATH) {
    const sizes = `${target.length} bytes exceeds the limit of ${MAX_PATH}`;
    throw new RafsError('LIMIT', `a link target of ${sizes}`, { path });
  }
};

export class Tree extends NameTree {
  readonly mode = new Column(Uint16Array); // type and permissions
  readonly uid = new Column(Uint32Array);
  readonly gid = new Column(Uint32Array);
  readonly mtime = new Column(Float64Array);
  readonly mtimeNsec = new Column(Uint32Array);
  readonly size = new Column(Float64Array);
  readonly rdev = new Column(Uint32Array);
  /** names of one file share a source number; every other inode has its own */
  readonly source = new Column(Uint32Array);
  /** rows of the chunk list: first and count */
  readonly firstChunk = new Column(Uint32Array);
  readonly chunkCount = new Column(Uint32Array);
  /** 1 for a hardlink of a tar and for its target: v5 says so, and images built on it keep it */
  readonly hardlink = new Column(Uint8Array);
  /** false while entries come from a directory, where all names of a file are alike */
  marksHardlinks = true;
  /** number of its set of xattrs; 0 for none */
  readonly xattrs = new Column(Uint32Array);
  /** the distinct sets of xattrs, by that number */
  readonly xattrSets: (Xattrs | undefined)[] = [undefined];

  /** how many rows, the first ones, were loaded from images */
  loadedCount = 0;

  readonly #targets = new ByteArena();
  readonly #targetAt = new Column(Float64Array);
  readonly #targetSize = new Column(Uint32Array);
  readonly #setNumbers = new Map<string, number>();
  #nextSource = 1;
  #inserted = 0;
  #implied = 0;
  // the directory that was used last, since entries come directory by directory
  #cachedPath = '';
  #cachedRow = 0;

  constructor() {
    super();
    this.addRoot();
  }

  /** Starts another tree and enters it; returns its root. */
  addRoot(): number {
    const row = this.addRootName();
    this.#pushInode();
    this.#describeMissing(row);
    this.enter(row);
    return row;
  }

  /** Paths of `insert` and `find` begin at this root from now on. */
  override enter(root: number): void {
    super.enter(root);
    this.#cachedPath = '';
    this.#cachedRow = root;
  }

  /** How many source numbers there are. */
  get sourceCount(): number {
    return this.#nextSource;
  }

  /** Target of a symlink. */
  target(row: number): string {
    return this.#targets.text(this.#targetAt.get(row), this.#targetSize.get(row));
  }

  isType(row: number, type: EntryType): boolean {
    return (this.mode.get(row) & S_IFMT) === MODE_OF_TYPE[type];
  }

  /**
   * Adds or replaces an entry; returns its row. `setChunks` sets chunks once they are known.
   * LIMIT for paths and targets that are too long, or too many directories without an entry.
   */
  insert(entry: Entry): number {
    checkLengths(entry);
    this.#inserted += 1;
    if (entry.type === 'hardlink') return this.#link(entry);
    const row = this.#place(entry);
    this.#describe(row, entry);
    this.source.data[row] = this.#nextSource++;
    this.size.data[row] = entry.type === 'symlink' ? entry.target!.length : entry.size;
    this.setChunks(row, 0, 0);
    this.xattrs.data[row] = this.#setNumber(entry.xattrs);
    if (entry.type === 'symlink') this.#setTarget(row, entry.target!);
    return row;
  }

  #setTarget(row: number, target: string): void {
    this.#targetAt.data[row] = this.#targets.addText(target);
    this.#targetSize.data[row] = target.length;
  }

  setChunks(row: number, first: number, count: number): void {
    this.firstChunk.data[row] = first;
    this.chunkCount.data[row] = count;
  }

  /**
   * Adds an inode of an image: to a directory that has no child of that name yet, or as root.
   * `source` is the number of an earlier name of the same file.
   */
  add(parent: number, name: string, inode: InodeAttributes, source?: number): number {
    const row = this.#append(parent, name);
    this.describe(row, inode);
    this.source.data[row] = source ?? this.#nextSource++;
    return row;
  }

  /** Sets what an image says of an inode; its name, chunks and children are not touched. */
  describe(row: number, inode: InodeAttributes): void {
    this.mode.data[row] = inode.mode;
    this.uid.data[row] = inode.uid;
    this.gid.data[row] = inode.gid;
    this.mtime.data[row] = inode.mtime;
    this.mtimeNsec.data[row] = inode.mtimeNsec;
    this.size.data[row] = inode.size;
    this.rdev.data[row] = inode.rdev;
    this.hardlink.data[row] = inode.hardlink ? 1 : 0;
    this.xattrs.data[row] = this.#setNumber(inode.xattrs);
    if (inode.target !== undefined) this.#setTarget(row, inode.target);
  }

  /** What `describe` sets, except for the hardlink mark and the target of a symlink. */
  facts(row: number): InodeAttributes {
    const xattrs = this.xattrSets[this.xattrs.get(row)];
    return {
      mode: this.mode.get(row),
      uid: this.uid.get(row),
      gid: this.gid.get(row),
      mtime: this.mtime.get(row),
      mtimeNsec: this.mtimeNsec.get(row),
      size: this.size.get(row),
      rdev: this.rdev.get(row),
      ...(xattrs ? { xattrs } : {}),
    };
  }

  /** Gives a directory the attributes of another one, which may be of another tree. */
  copyAttributes(from: number, to: number): void {
    for (const column of [
      this.mode,
      this.uid,
      this.gid,
      this.mtime,
      this.mtimeNsec,
      this.size,
      this.rdev,
      this.xattrs,
    ]) {
      column.data[to] = column.get(from);
    }
  }

  /** Removes an xattr from one row. */
  removeXattr(row: number, name: string): void {
    const set = this.xattrSets[this.xattrs.get(row)];
    if (!set?.has(name)) return;
    const rest = new Map(set);
    rest.delete(name);
    this.xattrs.data[row] = this.#setNumber(rest);
  }

  /** A further name of a file: content and xattrs of the target, owner, mode and time its own. */
  #link(entry: Entry): number {
    const target = this.find(entry.target!);
    if (target < 0) {
      throw new RafsError(
        'CORRUPT',
        `the target of a hardlink does not exist: '${entry.target!}'`,
        {
          path: entry.path,
        },
      );
    }
    if (!this.isType(target, 'file')) {
      throw new RafsError('CORRUPT', `the target of a hardlink is not a file: '${entry.target!}'`, {
        path: entry.path,
      });
    }
    const row = this.#place(entry);
    this.#describe(row, entry);
    for (const column of [this.source, this.size, this.firstChunk, this.chunkCount, this.xattrs]) {
      column.data[row] = column.get(target);
    }
    if (this.marksHardlinks) this.hardlink.data[row] = this.hardlink.data[target] = 1;
    return row;
  }

  /** The row for an entry's path: a new one, or the one there, without children it may not keep. */
  #place({ path, type }: Entry): number {
    if (path === '') {
      if (type !== 'directory') throw new RafsError('CORRUPT', 'the root is not a directory');
      return this.root;
    }
    const slash = path.lastIndexOf('/');
    const parent = this.#directory(slash < 0 ? '' : path.slice(0, slash));
    const name = path.slice(slash + 1);
    const row = this.child(parent, name);
    if (row < 0) return this.#append(parent, name);
    if (type !== 'directory') this.clear(row);
    return row;
  }

  #directory(path: string): number {
    if (path === this.#cachedPath) return this.#cachedRow;
    let row = this.root;
    for (const name of path === '' ? [] : path.split('/')) {
      let next = this.child(row, name);
      if (next < 0) {
        next = this.#append(row, name);
        this.#countImplied(path);
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

  #append(parent: number, name: string): number {
    const row = this.addName(parent, name);
    this.#pushInode();
    return row;
  }

  #pushInode(): void {
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
      this.hardlink,
      this.xattrs,
      this.#targetAt,
      this.#targetSize,
    ]) {
      column.push(0);
    }
  }

  #describe(row: number, entry: Entry): void {
    this.mode.data[row] = MODE_OF_TYPE[entry.type] | (entry.mode & 0o7777);
    this.uid.data[row] = entry.uid;
    this.gid.data[row] = entry.gid;
    this.mtime.data[row] = entry.mtime;
    this.mtimeNsec.data[row] = entry.mtimeNsec;
    this.rdev.data[row] = entry.rdev;
    this.hardlink.data[row] = 0;
  }

  #countImplied(path: string): void {
    this.#implied += 1;
    if (this.#implied > FREE_IMPLIED + IMPLIED_PER_ENTRY * this.#inserted) {
      const entries = `${this.#inserted} entries`;
      throw new RafsError(
        'LIMIT',
        `${entries} imply ${this.#implied} directories, which are too many`,
        { path },
      );
    }
  }

  /** A directory that the source does not describe. */
  #describeMissing(row: number): void {
    this.mode.data[row] = MODE_OF_TYPE.directory | 0o755;
    this.rdev.data[row] = NO_DEVICE;
    this.source.data[row] = this.#nextSource++;
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
