/**
 * The tree of inodes of an image, as columns: row 0 is the root.
 *
 * Rules of insertion are those of OCI layers: a later entry replaces an earlier one of the same
 * path, a directory keeps its children when it is described again, missing parents are made, and a
 * symlink on the way to an entry is followed, within the root.
 *
 * The columns may hold several trees: every layer of an image has a root of its own until it is
 * laid over those below, which moves rows and copies none (lib/tree/overlay.ts).
 */
import { ByteArena, Column } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { MODE_OF_TYPE, S_IFMT } from '../model/mode.js';
import { FREE_IMPLIED, IMPLIED_PER_ENTRY } from '../model/limits.js';
import { NOTHING, Ways, type Destination } from './ways.js';
import {
  checkLengths,
  isLikeImplied,
  type InodeAttributes,
  type Xattrs,
} from './inode-attributes.js';
import { NameTree } from './name-tree.js';
import type { Entry, EntryType } from '../model/entry.js';

/** Device number that nydus-image records for tar entries that have none. */
const NO_DEVICE = 0xffffffff;

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
  /** 1 for a directory that is there because something lies in it, and that nothing describes */
  readonly implied = new Column(Uint8Array);
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
  readonly #ways = new Ways(this);
  #lowerRoot = NOTHING;
  /** attributes of files whose hardlinks say something new, by source number */
  readonly #changed = new Map<number, InodeAttributes>();
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

  /**
   * Paths of `insert` and `find` begin at this root from now on. With `lowerRoot`, of the layers
   * below, symlinks there are followed, and hardlinks find what their own layer does not have.
   */
  override enter(root: number, lowerRoot = NOTHING): void {
    super.enter(root);
    this.#lowerRoot = lowerRoot;
    this.changed();
  }

  protected override changed(): void {
    this.#cachedPath = '';
    this.#cachedRow = this.root;
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
    this.implied.data[row] = isLikeImplied(inode) ? 1 : 0;
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
      this.implied,
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

  /**
   * A further name of what is no directory. What the entry says applies to all names, as it does
   * when the layer is unpacked; its xattrs add to those that are there.
   */
  #link(entry: Entry): number {
    const target = this.#linkTarget(entry);
    const source = this.source.get(target);
    const before = this.#changed.get(source) ?? this.facts(target);
    const isSymlink = this.isType(target, 'symlink'); // whose mode nothing changes
    const inode: InodeAttributes = {
      ...before,
      mode: isSymlink ? before.mode : (before.mode & S_IFMT) | (entry.mode & 0o7777),
      uid: entry.uid,
      gid: entry.gid,
      mtime: entry.mtime,
      mtimeNsec: entry.mtimeNsec,
      ...(entry.xattrs ? { xattrs: new Map([...(before.xattrs ?? []), ...entry.xattrs]) } : {}),
    };
    const row = this.#place(entry);
    this.describe(row, inode);
    for (const column of [
      this.source,
      this.firstChunk,
      this.chunkCount,
      this.#targetAt,
      this.#targetSize,
    ]) {
      column.data[row] = column.get(target);
    }
    const isNew = row === target || this.#differ(row, target);
    if (isNew || this.#changed.has(source)) this.#changed.set(source, inode);
    if (this.marksHardlinks) this.hardlink.data[row] = this.hardlink.data[target] = 1;
    return row;
  }

  #linkTarget({ path, target: name }: Entry): number {
    const target = this.follow(name!, { end: false }).row;
    if (target >= 0 && !this.isType(target, 'directory')) return target;
    const why = target < 0 ? 'does not exist' : 'is a directory';
    throw new RafsError('CORRUPT', `the target of a hardlink ${why}: '${name!}'`, { path });
  }

  #differ(a: number, b: number): boolean {
    return [this.mode, this.uid, this.gid, this.mtime, this.mtimeNsec, this.xattrs].some(
      column => column.get(a) !== column.get(b),
    );
  }

  /** Gives all names of a file the attributes that its last name has. */
  settleHardlinks(): void {
    if (this.#changed.size === 0) return;
    for (let row = 0; row < this.count; row++) {
      const inode = this.#changed.get(this.source.get(row));
      if (inode) this.describe(row, { ...inode, hardlink: this.hardlink.get(row) === 1 });
    }
    this.#changed.clear();
  }

  /** The row for an entry's path: a new one, or the one there, without children it may not keep. */
  #place({ path, type }: Entry): number {
    if (path === '') {
      if (type !== 'directory') throw new RafsError('CORRUPT', 'the root is not a directory');
      return this.root;
    }
    const slash = path.lastIndexOf('/');
    const parent = this.directoryAt(slash < 0 ? '' : path.slice(0, slash));
    const name = path.slice(slash + 1);
    const row = this.child(parent, name);
    if (row < 0) return this.#append(parent, name);
    if (type !== 'directory' || !this.isType(row, 'directory')) this.clear(row);
    return row;
  }

  /**
   * The directory that a path leads to, through symlinks if there are any; made if it is missing.
   * CORRUPT if something else is on the way.
   */
  directoryAt(path: string): number {
    if (path === this.#cachedPath) return this.#cachedRow;
    const { names, row: there, obstacle } = this.follow(path, { end: true });
    const to = names.join('/');
    // what is below is replaced, unless a symlink leads to it
    const stays = there >= this.root || to !== path;
    if (obstacle !== undefined || (there >= 0 && stays && !this.isType(there, 'directory'))) {
      throw new RafsError('CORRUPT', `'${obstacle ?? to}' is not a directory`, { path });
    }
    let row = this.root;
    for (const name of names) {
      const next = this.child(row, name);
      if (next >= 0) {
        row = next;
        continue;
      }
      row = this.#append(row, name);
      this.#countImplied(path);
      this.#describeMissing(row);
    }
    this.#cachedPath = path;
    this.#cachedRow = row;
    return row;
  }

  /** Where a path leads through symlinks, and with `end` through one at its end. */
  follow(path: string, { end }: { end: boolean }): Destination {
    const roots = { upper: this.root, lower: this.#lowerRoot };
    return this.#ways.follow(path, roots, { end, entries: this.#inserted });
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
      this.implied,
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
    this.implied.data[row] = 0;
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
    this.implied.data[row] = 1;
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
