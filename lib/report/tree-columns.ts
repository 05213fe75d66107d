/**
 * The tree of an image as columns, which compress well: one row per name, parents before children,
 * children in byte order. The page has the reader of it (page/tree.ts).
 */

/** Types of rows, as they are written. */
export const ROW_TYPES = ['directory', 'file', 'symlink', 'other'] as const;
export type RowType = (typeof ROW_TYPES)[number];

/** Bytes that grow as numbers are added: seven bits a byte, the lowest first, as in LEB128. */
class Varints {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  push(value: number): void {
    if (this.#length + 8 > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2);
    }
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Gathers the rows of one image. */
export class TreeColumns {
  readonly #names: Buffer[] = [];
  /** what is gathered in one string before it becomes bytes */
  #text: string[] = [];
  /** depth × 4 + type */
  readonly #places = new Varints();
  readonly #sizes = new Varints();
  /** of a file whose chunks were counted for an earlier name: 0 */
  readonly #stored = new Varints();
  #count = 0;

  /** `name` holds bytes as a latin1 string. */
  add(row: { name: string; depth: number; type: RowType; size: number; stored: number }): void {
    this.#text.push(row.name);
    if (this.#text.length === 4096) this.#flush();
    this.#places.push(row.depth * 4 + ROW_TYPES.indexOf(row.type));
    if (row.type === 'file') {
      this.#sizes.push(row.size);
      this.#stored.push(row.stored);
    }
    this.#count += 1;
  }

  /** Rows, and the columns: names, each with a NUL behind it, places, sizes, stored sizes. */
  finish(): { names: number; columns: Buffer[] } {
    this.#flush();
    const columns = [
      Buffer.concat(this.#names),
      this.#places.bytes,
      this.#sizes.bytes,
      this.#stored.bytes,
    ];
    return { names: this.#count, columns };
  }

  #flush(): void {
    if (this.#text.length === 0) return;
    this.#names.push(Buffer.from(`${this.#text.join('\0')}\0`, 'latin1'));
    this.#text = [];
  }
}
