/**
 * The SQLite database in which `chunkdict generate` collects chunks: the tables of nydus-image,
 * with columns of our own after its columns, which it leaves empty. Rows are only ever appended.
 */
import { closeSync, existsSync, fchmodSync, openSync, statSync } from 'node:fs';
import sqlite, { type Database as Sqlite, type JSValue } from 'node-sqlite3-wasm';
import { blobEntryOf, blobOfEntry } from '../../../lib/bootstrap/v6/blob-entry.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { ChunkRows } from '../../../lib/chunkdict/rows.js';
import type { DictBlob } from '../../../lib/chunkdict/image.js';
import { compressorName } from '../../../lib/compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../../../lib/layout/compressors.js';
import { RafsError } from '../../../lib/errors.js';
import { shown } from '../../../lib/model/names.js';
import { takeDatabase } from './database-lock.js';
import { BlobEntry } from '../../../lib/layout/rafs-v6.js';
import { ChunkFlag } from '../../../lib/layout/rafs.js';
import type { BlobInfo } from '../../../lib/model/blob.js';

/** Columns and their types, without the key; the last ones are ours. */
const TABLES = {
  chunk: {
    image_reference: 'TEXT',
    version: 'TEXT',
    chunk_blob_id: 'TEXT NOT NULL',
    chunk_digest: 'TEXT',
    chunk_crc32: 'INT',
    chunk_compressed_size: 'INT',
    chunk_uncompressed_size: 'INT',
    chunk_compressed_offset: 'INT',
    chunk_uncompressed_offset: 'INT',
    chunk_index: 'INT', // in the blob
    chunk_flags: 'INT', // as in a chunk table
  },
  blob: {
    blob_id: 'TEXT NOT NULL',
    blob_compressed_size: 'INT',
    blob_uncompressed_size: 'INT',
    blob_compressor: 'TEXT',
    blob_meta_ci_compressed_size: 'INT',
    blob_meta_ci_uncompressed_size: 'INT',
    blob_meta_ci_offset: 'INT',
    blob_table_entry: 'BLOB', // as in a v6 bootstrap
  },
} as const;

/** An image and its name. */
export interface NamedImage {
  image: string;
  version: string;
  blobs: readonly BlobInfo[];
  /** every chunk of every file, as often as it is used */
  chunks: Iterable<StoredChunk>;
}

export class ChunkDictDatabase {
  readonly #path: string;
  readonly #database: Sqlite;
  /** others may not read the file, so they may not read its journal either */
  readonly #private: boolean;
  readonly #giveBack: () => void;

  /**
   * Opens or creates the database and its tables. Fails with CORRUPT if the file is not a database,
   * with BACKEND if another process works with it.
   *
   * @param path of a file, or ':memory:'
   * @param options.secret it gets the key of encrypted blobs: nobody but the user may read it
   */
  constructor(path: string, { secret = false }: { secret?: boolean } = {}) {
    this.#path = path;
    const isFile = path !== ':memory:';
    this.#giveBack = isFile ? takeDatabase(path) : () => undefined;
    try {
      if (isFile && secret) restrict(path);
      this.#private = isFile && isPrivate(path);
      this.#database = this.#try(() => new sqlite.Database(path));
    } catch (error) {
      this.#giveBack();
      throw error;
    }
    try {
      this.#try(() => this.#makeTables());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    try {
      this.#database.close();
    } finally {
      this.#giveBack();
    }
  }

  /** Appends images: all of them or, if anything fails, none. */
  save(images: Iterable<NamedImage>): void {
    this.#try(() => {
      const database = this.#database;
      const blob = database.prepare(insertOf('blob'));
      const chunk = database.prepare(insertOf('chunk'));
      database.exec('BEGIN IMMEDIATE');
      try {
        for (const image of images) {
          for (const info of image.blobs) blob.run(blobValues(info));
          const ids = image.blobs.map(({ id }) => shown(id));
          for (const stored of image.chunks) {
            chunk.run([image.image, image.version, ids[stored.blobIndex]!, ...chunkValues(stored)]);
          }
        }
        database.exec('COMMIT');
      } catch (error) {
        if (database.inTransaction) database.exec('ROLLBACK');
        throw error;
      } finally {
        blob.finalize();
        chunk.finalize();
      }
    });
  }

  /** All rows, in the order in which they were added. Fails with CORRUPT if one is invalid. */
  chunks(): ChunkRows {
    const rows = new ChunkRows();
    this.#each('chunk', row => {
      const digest = Buffer.from(row.text('chunk_digest'), 'hex');
      if (digest.length !== 32) throw row.fail('chunk_digest');
      const index = row.maybe('chunk_index');
      const flags = row.maybe('chunk_flags');
      rows.add({
        image: row.text('image_reference'),
        version: row.text('version'),
        blobId: latin1(row.text('chunk_blob_id')),
        digest,
        crc32: row.number('chunk_crc32', U32),
        compressedSize: row.number('chunk_compressed_size', U32),
        uncompressedSize: row.number('chunk_uncompressed_size', U32),
        compressedOffset: row.number('chunk_compressed_offset'),
        uncompressedOffset: row.number('chunk_uncompressed_offset'),
        ...(index && flags
          ? { index: row.number('chunk_index', U32 - 1), flags: row.number('chunk_flags', U32 - 1) }
          : {}),
      });
    });
    return rows;
  }

  /** Blobs by id; of several rows, the last with a table entry, or the last if none has one. */
  blobs(): Map<string, DictBlob> {
    const blobs = new Map<string, DictBlob>();
    this.#each('blob', row => {
      const compressor = row.text('blob_compressor');
      if (!isCompressor(compressor)) throw row.fail('blob_compressor');
      const blob: DictBlob = {
        id: latin1(row.text('blob_id')),
        compressedSize: row.number('blob_compressed_size'),
        uncompressedSize: row.number('blob_uncompressed_size'),
        compressor,
        ciCompressedSize: row.number('blob_meta_ci_compressed_size'),
        ciUncompressedSize: row.number('blob_meta_ci_uncompressed_size'),
        ciOffset: row.number('blob_meta_ci_offset'),
      };
      const entry = row.maybe('blob_table_entry');
      const info = entry && {
        info: { ...blobOfEntry(row.entry('blob_table_entry')), id: blob.id },
      };
      if (info || !blobs.get(blob.id)?.info) blobs.set(blob.id, { ...blob, ...info });
    });
    return blobs;
  }

  #makeTables(): void {
    for (const [table, columns] of Object.entries(TABLES)) {
      const list = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
      this.#database.exec(
        `CREATE TABLE IF NOT EXISTS ${table} (id INTEGER PRIMARY KEY, ${list.join(', ')})`,
      );
      const there = new Set(
        this.#database.all(`PRAGMA table_info(${table})`).map(({ name }) => name),
      );
      for (const [name, type] of Object.entries(columns)) {
        if (!there.has(name)) {
          this.#database.exec(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`);
        }
      }
    }
  }

  #each(table: keyof typeof TABLES, visit: (row: Row) => void): void {
    this.#try(() => {
      const statement = this.#database.prepare(`SELECT * FROM ${table} ORDER BY id`);
      try {
        for (const values of statement.iterate()) visit(new Row(table, values));
      } finally {
        statement.finalize();
      }
    });
  }

  /** Reports errors of SQLite with the file. */
  #try<T>(work: () => T): T {
    const mask = this.#private ? process.umask(0o077) : undefined;
    try {
      return work();
    } catch (error) {
      if (!(error instanceof sqlite.SQLite3Error)) throw error;
      const lock = `${this.#path}.lock`;
      const hint = existsSync(lock) ? ` (if nobody uses it, remove ${lock})` : '';
      throw new RafsError('CORRUPT', `${error.message}${hint}`, { file: this.#path });
    } finally {
      if (mask !== undefined) process.umask(mask);
    }
  }
}

/** Makes a file unreadable for others, before anything secret is in it. */
const restrict = (path: string): void => {
  const fd = openSync(path, 'a', 0o600);
  try {
    fchmodSync(fd, 0o600);
  } finally {
    closeSync(fd);
  }
};

const isPrivate = (path: string): boolean => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (stat.mode & 0o077) === 0;
};

const U32 = 2 ** 32 - 1;

const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

const isCompressor = (name: string): name is Compressor => Object.hasOwn(COMPRESSORS, name);

const insertOf = (table: keyof typeof TABLES): string => {
  const names = Object.keys(TABLES[table]);
  return `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`;
};

const blobValues = (info: BlobInfo): JSValue[] => [
  shown(info.id),
  info.compressedSize,
  info.uncompressedSize,
  compressorName(info.compressor),
  info.ciCompressedSize,
  info.ciUncompressedSize,
  info.ciOffset,
  BlobEntry.encode(blobEntryOf({ ...info, id: '' }, 0)), // an id may be longer than its field
];

const chunkValues = (chunk: StoredChunk): JSValue[] => [
  chunk.digest.toString('hex'),
  chunk.crc32 ?? 0,
  chunk.compressedSize,
  chunk.uncompressedSize,
  chunk.compressedOffset,
  chunk.uncompressedOffset,
  chunk.index,
  (chunk.compressed ? ChunkFlag.COMPRESSED : 0) +
    (chunk.encrypted ? ChunkFlag.ENCRYPTED : 0) +
    (chunk.crc32 === undefined ? 0 : ChunkFlag.HAS_CRC32),
];

/** A row whose values may be of any type. */
class Row {
  readonly #table: string;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(table: string, values: Readonly<Record<string, unknown>>) {
    this.#table = table;
    this.#values = values;
  }

  /** Whether there is a value. */
  maybe(column: string): boolean {
    const value = this.#values[column];
    return value !== null && value !== undefined;
  }

  text(column: string): string {
    const value = this.#values[column];
    if (typeof value !== 'string') throw this.fail(column);
    return value;
  }

  number(column: string, most = Number.MAX_SAFE_INTEGER): number {
    const value = Number(this.#values[column]);
    const isNumber = ['number', 'bigint'].includes(typeof this.#values[column]);
    if (!isNumber || !Number.isSafeInteger(value) || value < 0 || value > most) {
      throw this.fail(column);
    }
    return value;
  }

  entry(column: string): ReturnType<typeof BlobEntry.decode> {
    const value = this.#values[column];
    if (!(value instanceof Uint8Array) || value.length !== BlobEntry.size) throw this.fail(column);
    return BlobEntry.decode(Buffer.from(value));
  }

  fail(column: string): RafsError {
    const at = { table: this.#table, row: String(this.#values.id), column };
    return new RafsError('CORRUPT', 'invalid value in column', at);
  }
}
