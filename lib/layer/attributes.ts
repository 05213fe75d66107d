/**
 * `.nydusattributes`: which files of a directory lie in existing blobs, and where in them.
 *
 * Lines are in gitattributes format, except that the pattern is a path in which no character is
 * special:
 *
 *     /models/weights.bin type=external blob_index=0 blob_id=… chunk_size=4MiB …
 *
 * To nydus-image, a file without `crcs` is an error; here its chunks just have none.
 */
import { RafsError } from '../errors.js';
import { isFileName } from '../model/names.js';
import type { ExternalExtent } from '../model/entry.js';

interface Item {
  line: number;
  values: ReadonlyMap<string, string>;
  external: boolean;
}

const BLANKS = /[ \t\r\f\v]+/;
const NAME = /^[-._A-Za-z0-9]*$/;
const BLOB_ID_SIZE = 64;
const MOST_BLOBS = 0x100;
const FACTORS = 'kmgtpe';

const malformed = (line: number, message: string): RafsError =>
  new RafsError('CORRUPT', message, { line });

/** Paths are those of entries: without a leading '/', latin1. */
export class Attributes {
  readonly #items: ReadonlyMap<string, Item>;
  readonly #parents = new Set<string>();

  constructor(items: ReadonlyMap<string, Item>) {
    this.#items = items;
    for (const [path, { external }] of items) {
      if (!external) continue;
      for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
        this.#parents.add(path.slice(0, at));
      }
    }
  }

  /** Whether a path is listed as external or, if it is not listed, leads to one that is. */
  isExternal(path: string): boolean {
    return this.#items.get(path)?.external ?? this.#parents.has(path);
  }

  /** Whether a path is external, or some path below it. */
  leadsToExternal(path: string): boolean {
    return this.isExternal(path) || this.#parents.has(path);
  }

  /** The paths that are listed as external. */
  *listed(): Iterable<string> {
    for (const [path, { external }] of this.#items) if (external) yield path;
  }

  /** The size stated for a file that is empty in the directory, if any. */
  fileSize(path: string): number | undefined {
    const item = this.#items.get(path);
    return item?.values.has('file_size') ? count(item, 'file_size') : undefined;
  }

  /** Where the content of an external file of `size` bytes lies. CORRUPT if that is not stated. */
  place(path: string, size: number): ExternalExtent {
    const item = this.#items.get(path);
    // a directory that leads to external files has become a file in the meantime
    if (!item) throw new RafsError('CORRUPT', 'the external file is not listed');
    const blobIndex = count(item, 'blob_index');
    const blobId = text(item, 'blob_id');
    const chunkSize = sizeOf(item, 'chunk_size');
    const offset = count(item, 'chunk_0_compressed_offset');
    const blobSize = count(item, 'compressed_size');
    const { line } = item;
    if (blobIndex >= MOST_BLOBS) throw malformed(line, `invalid blob_index ${blobIndex}`);
    if (blobId.length !== BLOB_ID_SIZE || !isFileName(blobId)) {
      const length = blobId.length;
      throw malformed(
        line,
        `a blob_id has ${BLOB_ID_SIZE} characters and no '/', got ${length} characters`,
      );
    }
    if (offset + size > blobSize) {
      throw malformed(
        line,
        `the file ends at ${offset + size}, past the end of its blob at ${blobSize}`,
      );
    }
    const crcs = checksums(item);
    const chunkCount = Math.ceil(size / chunkSize);
    if (crcs.length > 0 && crcs.length < chunkCount) {
      throw malformed(line, `expected ${chunkCount} crcs, one for each chunk, got ${crcs.length}`);
    }
    return { blobIndex, blobId, blobSize, chunkSize, offset, crcs };
  }

  /** Equal for two paths with the same attributes; '' for paths that are not external. */
  keyOf(path: string): string {
    const item = this.#items.get(path);
    if (!item?.external) return this.isExternal(path) ? 'external' : '';
    return [...item.values].map(([name, value]) => `${name}=${value}`).join(' ');
  }
}

const text = ({ line, values }: Item, name: string): string => {
  const value = values.get(name);
  if (value === undefined || value === '') throw malformed(line, `missing ${name}`);
  return value;
};

const count = (item: Item, name: string): number => {
  const value = text(item, name);
  const number = Number(value);
  if (!/^\+?[0-9]+$/.test(value) || !Number.isSafeInteger(number)) {
    throw malformed(item.line, `${name} '${value}' is not a number of bytes`);
  }
  return number;
};

/** A size as people write it: 4194304, 4MiB, 0.5GB. */
const sizeOf = (item: Item, name: string): number => {
  const value = text(item, name);
  const [, digits, factor = '', binary] =
    /^([0-9]+(?:\.[0-9]+)?)([kmgtpe]?)(i?)b?$/i.exec(value) ?? [];
  const power = FACTORS.indexOf(factor.toLowerCase()) + 1;
  const size = Math.floor(Number(digits) * (binary ? 1024 : 1000) ** (factor ? power : 0));
  if (Number.isSafeInteger(size) && size > 0) return size;
  throw malformed(item.line, `${name} '${value}' is not a size`);
};

const checksums = ({ line, values }: Item): number[] => {
  const value = values.get('crcs') ?? '';
  if (value === '') return []; // nydusify writes this if it knows none
  return value.split(',').map(digits => {
    if (/^(0x)?[0-9a-f]{1,8}$/i.test(digits)) return Number.parseInt(digits, 16);
    throw malformed(line, `'${digits}' in crcs is not a 32-bit hexadecimal number`);
  });
};

/** Reads an attributes file. CORRUPT, with the line number, for anything malformed. */
export const parseAttributes = (bytes: Buffer): Attributes => {
  const items = new Map<string, Item>();
  const lines = bytes
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .split('\n');
  lines.forEach((whole, i) => {
    const line = i + 1;
    const content = whole.replace(/^[ \t\r]+/, '');
    if (content === '' || content.startsWith('#')) return;
    const [pattern, rest] = content.startsWith('"') ? unquote(content, line) : cut(content);
    if (pattern.startsWith('[attr]')) return; // defines a macro
    if (pattern.startsWith('!')) {
      throw malformed(
        line,
        `a path cannot begin with '!': write '\\!…' for a file whose name does`,
      );
    }
    const path = pattern.replace(/^\\(?=[!#])/, '').split('/');
    const values = parseValues(rest, line);
    const external = values.get('type') === 'external';
    const name = path.filter(part => part !== '' && part !== '.').join('/');
    if (name !== '') items.set(name, { line, values, external });
  });
  return new Attributes(items);
};

const cut = (content: string): [pattern: string, rest: string] => {
  const at = content.search(/[ \t\r]/);
  return at < 0 ? [content, ''] : [content.slice(0, at), content.slice(at)];
};

const parseValues = (rest: string, line: number): Map<string, string> => {
  const values = new Map<string, string>();
  for (const field of rest.split(BLANKS)) {
    if (field === '') continue;
    const equals = field.indexOf('=');
    const said = equals < 0 ? field : field.slice(0, equals);
    const unset = /^[-!]/.test(said);
    const name = unset ? said.slice(1) : said;
    if (!NAME.test(name) || name.startsWith('-'))
      throw malformed(line, `invalid attribute '${said}'`);
    values.set(name, unset || equals < 0 ? '' : field.slice(equals + 1));
  }
  return values;
};

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
  ...{ '"': '"', '\\': '\\' },
};

/** A pattern in double quotes, with C escapes, and what follows it. */
const unquote = (content: string, line: number): [pattern: string, rest: string] => {
  const [quoted, body] = /^"((?:[^"\\]|\\.)*)"/s.exec(content) ?? [];
  if (quoted === undefined || body === undefined)
    throw malformed(line, 'missing closing quote of a path');
  const path = body.replace(/\\([0-3][0-7]{2}|.)/gs, (_, escape: string) => {
    const char = escape.length === 3 ? String.fromCharCode(parseInt(escape, 8)) : ESCAPES[escape];
    if (char === undefined) throw malformed(line, `invalid escape '\\${escape}' in a path`);
    return char;
  });
  return [path, content.slice(quoted.length)];
};
