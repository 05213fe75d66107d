/** The tree of an image, out of its columns. A node is the index of its row; the root is 0. */
import type { ImageReport } from '../lib/report/report.js';

export type NodeType = 'directory' | 'file' | 'symlink' | 'other';
const TYPES: readonly NodeType[] = ['directory', 'file', 'symlink', 'other'];

/** What a tile's area stands for. */
export type Weight = 'size' | 'stored';

export class Tree {
  readonly names: readonly string[];
  readonly types: readonly NodeType[];
  readonly parents: Int32Array;
  /** of a file its own bytes, of a directory those of all that is below */
  readonly weights: Readonly<Record<Weight, Float64Array>>;
  /** files at or below a node */
  readonly files: Int32Array;
  /** the row behind the last one below a node */
  readonly #ends: Int32Array;

  constructor({ names: count, offsets }: ImageReport['tree'], columns: Uint8Array) {
    const column = (i: number): Uint8Array => columns.subarray(offsets[i], offsets[i + 1]);
    this.names = new TextDecoder().decode(column(0)).split('\0');
    const places = numbers(column(1));
    const sizes = numbers(column(2));
    const stored = numbers(column(3));
    const types: NodeType[] = [];
    this.types = types;
    this.parents = new Int32Array(count).fill(-1);
    this.files = new Int32Array(count);
    this.#ends = new Int32Array(count);
    this.weights = { size: new Float64Array(count), stored: new Float64Array(count) };
    const open: number[] = []; // by depth
    for (let node = 0; node < count; node++) {
      const place = places.next();
      const depth = Math.floor(place / 4);
      const type = TYPES[place % 4]!;
      types.push(type);
      while (open.length > depth) this.#ends[open.pop()!] = node;
      this.parents[node] = open.at(-1) ?? -1;
      open.push(node);
      if (type !== 'file') continue;
      this.files[node] = 1;
      this.weights.size[node] = sizes.next();
      this.weights.stored[node] = stored.next();
    }
    for (const node of open) this.#ends[node] = count;
    for (let node = count - 1; node > 0; node--) {
      const parent = this.parents[node]!;
      this.files[parent]! += this.files[node]!;
      this.weights.size[parent]! += this.weights.size[node]!;
      this.weights.stored[parent]! += this.weights.stored[node]!;
    }
  }

  get count(): number {
    return this.types.length;
  }

  *children(node: number): Generator<number, void> {
    for (let child = node + 1; child < this.#ends[node]!; child = this.#ends[child]!) yield child;
  }

  /** From the root down to the node. */
  ancestry(node: number): number[] {
    const line: number[] = [];
    for (let one = node; one >= 0; one = this.parents[one]!) line.unshift(one);
    return line;
  }

  path(node: number): string {
    return `/${this.ancestry(node)
      .slice(1)
      .map(one => this.names[one]!)
      .join('/')}`;
  }

  find(path: string): number | undefined {
    let node = 0;
    for (const name of path.split('/').filter(part => part !== '')) {
      const next = [...this.children(node)].find(child => this.names[child] === name);
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  /** Nodes whose name, or path if there is a slash in the text, contains the text. */
  search(text: string, most: number): { nodes: number[]; count: number } {
    const wanted = text.toLowerCase();
    const wholePath = wanted.includes('/');
    const nodes: number[] = [];
    let count = 0;
    for (let node = 1; node < this.count; node++) {
      const where = wholePath ? this.path(node) : this.names[node]!;
      if (!where.toLowerCase().includes(wanted)) continue;
      count += 1;
      nodes.push(node);
      if (nodes.length >= most * 8) this.#keepLargest(nodes, most);
    }
    this.#keepLargest(nodes, most);
    return { nodes, count };
  }

  #keepLargest(nodes: number[], most: number): void {
    nodes.sort((a, b) => this.weights.size[b]! - this.weights.size[a]!);
    nodes.length = Math.min(nodes.length, most);
  }
}

/** Reads numbers of seven bits a byte, the lowest first. */
const numbers = (bytes: Uint8Array): { next(): number } => {
  let at = 0;
  return {
    next() {
      let value = 0;
      for (let scale = 1; ; scale *= 0x80) {
        const byte = bytes[at++]!;
        value += (byte % 0x80) * scale;
        if (byte < 0x80) return value;
      }
    },
  };
};
