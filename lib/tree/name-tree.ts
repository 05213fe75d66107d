/**
 * Names, and which directory each is in, as columns: a tree without its inodes.
 *
 * The columns may hold several trees. A root is its own parent and has no name.
 */
import { ByteArena, Column, RowIndex } from '../memory/columns.js';
import { RafsError } from '../errors.js';
import { MAX_NAME } from '../model/limits.js';

export class NameTree {
  readonly parent = new Column(Uint32Array);
  readonly #arena = new ByteArena();
  readonly #nameAt = new Column(Float64Array);
  readonly #nameSize = new Column(Uint16Array);
  // 0 stands for none: row 0 is a root, so it is never a child
  readonly #firstChild = new Column(Uint32Array);
  readonly #nextSibling = new Column(Uint32Array);
  readonly #index = new RowIndex();
  #root = 0;

  /** How many rows there are, including those that are no longer reachable. */
  get count(): number {
    return this.parent.length;
  }

  /** The root at which paths begin. */
  get root(): number {
    return this.#root;
  }

  enter(root: number): void {
    this.#root = root;
  }

  /** Called when names were removed or moved. */
  protected changed(): void {}

  name(row: number): string {
    return this.#arena.text(this.#nameAt.get(row), this.#nameSize.get(row));
  }

  nameSize(row: number): number {
    return this.#nameSize.get(row);
  }

  /** Copies the bytes of a name to an offset of `target`. */
  copyName(row: number, target: Buffer, at: number): void {
    this.#arena.copy(this.#nameAt.get(row), this.#nameSize.get(row), target, at);
  }

  /** A view of the name's bytes, valid until the next insertion. */
  nameBytes(row: number): Buffer {
    return this.#arena.view(this.#nameAt.get(row), this.#nameSize.get(row));
  }

  path(row: number): string {
    let path = this.name(row);
    for (let up = this.parent.get(row); !this.#isRoot(up); up = this.parent.get(up)) {
      path = `${this.name(up)}/${path}`;
    }
    return path;
  }

  #isRoot(row: number): boolean {
    return this.parent.get(row) === row;
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

  hasChildren(row: number): boolean {
    return this.#firstChild.get(row) !== 0;
  }

  /** The row at a path, or -1. */
  find(path: string): number {
    let row = this.#root;
    for (const name of path === '' ? [] : path.split('/')) {
      row = this.child(row, name);
      if (row < 0) return -1;
    }
    return row;
  }

  /** The child of that name, or -1. */
  child(parent: number, name: string): number {
    return this.#index.find(
      this.#hash(parent, name),
      row =>
        this.parent.get(row) === parent &&
        this.#arena.equalsText(this.#nameAt.get(row), this.#nameSize.get(row), name),
    );
  }

  /** Adds a root without children; returns its row. */
  protected addRootName(): number {
    const row = this.count;
    this.#push(row, '', 0);
    return row;
  }

  /** Adds a child that is not there yet; returns its row. LIMIT for a name over 255 bytes. */
  protected addName(parent: number, name: string): number {
    if (name.length > MAX_NAME) {
      throw new RafsError(
        'LIMIT',
        `a name of ${name.length} bytes exceeds the limit of ${MAX_NAME}`,
        {
          path: name,
        },
      );
    }
    const row = this.count;
    this.#push(parent, name, this.#firstChild.get(parent));
    this.#firstChild.data[parent] = row;
    this.#index.add(this.#hash(parent, name), row);
    return row;
  }

  #push(parent: number, name: string, nextSibling: number): void {
    this.parent.push(parent);
    this.#nameAt.push(this.#arena.addText(name));
    this.#nameSize.push(name.length);
    this.#firstChild.push(0);
    this.#nextSibling.push(nextSibling);
  }

  /**
   * Moves children of `from`, with all below them, to `to`, which must have none of their names.
   * The other children of `from` are lost.
   */
  moveChildren(from: number, rows: readonly number[], to: number): void {
    // all of them: else one that is lost would be found instead of a new one with its name
    for (let row = this.#firstChild.get(from); row !== 0; row = this.#nextSibling.get(row)) {
      this.#index.remove(this.#hash(from, this.name(row)), row);
    }
    this.#firstChild.data[from] = 0;
    for (const row of rows) {
      const name = this.name(row);
      this.parent.data[row] = to;
      this.#nextSibling.data[row] = this.#firstChild.get(to);
      this.#firstChild.data[to] = row;
      this.#index.add(this.#hash(to, name), row);
    }
    this.changed();
  }

  /** Removes children from a directory, with all below them, in one pass over its list. */
  dropChildren(parent: number, gone: ReadonlySet<number>): void {
    if (gone.size === 0) return;
    let last = 0;
    for (let row = this.#firstChild.get(parent); row !== 0; row = this.#nextSibling.get(row)) {
      if (gone.has(row)) {
        this.#index.remove(this.#hash(parent, this.name(row)), row);
        continue;
      }
      if (last === 0) this.#firstChild.data[parent] = row;
      else this.#nextSibling.data[last] = row;
      last = row;
    }
    if (last === 0) this.#firstChild.data[parent] = 0;
    else this.#nextSibling.data[last] = 0;
    this.changed();
  }

  /** Removes a row and all below it from the tree. */
  remove(row: number): void {
    this.dropChildren(this.parent.get(row), new Set([row]));
    this.clear(row);
  }

  /** Drops all below a row. */
  clear(row: number): void {
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
    this.changed();
  }

  #hash(parent: number, name: string): number {
    let h = Math.imul(parent ^ 0x811c9dc5, 0x01000193);
    for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
    return (h ^ (h >>> 15)) >>> 0;
  }
}
