import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import t from 'tap';
import { ChunkDictDatabase, type NamedImage } from '../../../../bin/commands/chunkdict/database.js';
import type { StoredChunk } from '../../../../lib/model/stored.js';
import { blobInfo } from '../../../support/images/chunks.js';
import { digestOf } from '../../../support/images/chunkdict.js';
import { temporaryDirectory } from '../../../support/process/fs.js';
import { failure } from '../../../support/images/golden.js';

/** Ids are bytes. */
const ID = Buffer.from('blob é', 'utf8').toString('latin1');

const chunk = (n: number, more: Partial<StoredChunk> = {}): StoredChunk => ({
  digest: digestOf(n),
  blobIndex: 0,
  index: n,
  fileOffset: 0,
  uncompressedSize: 4096,
  compressedSize: 100 + n,
  uncompressedOffset: 4096 * n,
  compressedOffset: 2 ** 33 + n,
  compressed: true,
  encrypted: false,
  crc32: 0xffffffff - n,
  ...more,
});

const image = (chunks: Iterable<StoredChunk>, more: Partial<NamedImage> = {}): NamedImage => ({
  image: 'app',
  version: 'v1',
  blobs: [blobInfo({ id: ID, compressor: 3 })],
  chunks,
  ...more,
});

const hasSqlite = ((): boolean => {
  try {
    execFileSync('sqlite3', ['--version']);
    return true;
  } catch {
    return false;
  }
})();

t.test('what was saved is there, run after run', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  for (const [run, version] of ['v1', 'v2'].entries()) {
    const database = new ChunkDictDatabase(file);
    database.save([
      image([chunk(0), chunk(1, { encrypted: true, compressed: false })], { version }),
    ]);
    const rows = database.chunks();
    t.equal(rows.count, 2 * (run + 1));
    const last = rows.count - 1;
    t.equal(rows.versions.list[rows.version.get(last)], version);
    t.same(
      [rows.crc32, rows.compressedOffset, rows.index, rows.flags].map(column => column.get(last)),
      [0xfffffffe, 2 ** 33 + 1, 2, 0x15],
    );
    t.ok(rows.digestOf(rows.digest.get(last)).equals(digestOf(1)));
    const blob = database.blobs().get(ID);
    t.same(blob?.info, blobInfo({ id: ID, compressor: 3 }));
    t.equal(blob?.compressor, 'zstd');
    database.close();
  }
});

t.test('other software reads it', { skip: !hasSqlite && 'no sqlite3 here' }, async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  const database = new ChunkDictDatabase(file);
  database.save([image([chunk(3)])]);
  database.close();
  const query = (sql: string): string => execFileSync('sqlite3', [file, sql]).toString().trim();
  t.equal(query('PRAGMA integrity_check'), 'ok');
  const columns =
    'image_reference, version, chunk_digest, chunk_crc32, chunk_compressed_size, chunk_uncompressed_size, chunk_compressed_offset, chunk_uncompressed_offset';
  t.equal(
    query(`SELECT ${columns} FROM chunk`),
    `app|v1|${digestOf(3).toString('hex')}|4294967292|103|4096|8589934595|12288`,
  );
  t.equal(
    query('SELECT blob_id, blob_compressor, blob_compressed_size FROM blob'),
    'blob é|zstd|4096',
  );
});

/** The tables as nydus-image makes them, with a row in each. */
const OLD = `
  CREATE TABLE chunk (id INTEGER PRIMARY KEY, image_reference TEXT, version TEXT,
    chunk_blob_id TEXT NOT NULL, chunk_digest TEXT, chunk_crc32 INT, chunk_compressed_size INT,
    chunk_uncompressed_size INT, chunk_compressed_offset INT, chunk_uncompressed_offset INT);
  CREATE TABLE blob (id INTEGER PRIMARY KEY, blob_id TEXT NOT NULL, blob_compressed_size INT,
    blob_uncompressed_size INT, blob_compressor TEXT, blob_meta_ci_compressed_size INT,
    blob_meta_ci_uncompressed_size INT, blob_meta_ci_offset INT);
  INSERT INTO chunk VALUES (7, 'app', 'v0', 'b1', '${'ab'.repeat(32)}', 5, 10, 20, 30, 40);
  INSERT INTO blob VALUES (9, 'b1', 1, 2, 'lz4_block', 3, 4, 5);
`;

const withTables = (file: string, sql: string): void => {
  const database = new sqlite.Database(file);
  database.exec(sql);
  database.close();
};

t.test('a database of nydus-image gets our columns, and keeps what it has', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  withTables(file, OLD);
  const database = new ChunkDictDatabase(file);
  database.save([image([chunk(0)])]);
  const rows = database.chunks();
  t.equal(rows.count, 2);
  t.same([rows.index.get(0), rows.flags.get(0)], [0, 0], 'not known');
  t.same([rows.index.get(1), rows.flags.get(1)], [1, 0x12]);
  t.same(database.blobs().get('b1'), {
    id: 'b1',
    compressedSize: 1,
    uncompressedSize: 2,
    compressor: 'lz4_block',
    ciCompressedSize: 3,
    ciUncompressedSize: 4,
    ciOffset: 5,
  });
  database.close();
});

t.test('of several rows of a blob the last that knows most', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  const database = new ChunkDictDatabase(file);
  const saved = (compressedSize: number): void =>
    database.save([image([], { blobs: [blobInfo({ id: 'b1', compressedSize })] })]);
  saved(1);
  saved(2);
  database.close();
  withTables(file, `INSERT INTO blob VALUES (NULL, 'b1', 3, 2, 'none', 3, 4, 5, NULL)`);
  const again = new ChunkDictDatabase(file);
  t.match(again.blobs().get('b1'), { compressedSize: 2, info: { compressedSize: 2 } });
  again.close();
});

t.test('what fails midway leaves nothing', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  const database = new ChunkDictDatabase(file);
  database.save([image([chunk(0)])]);
  function* broken(): Iterable<StoredChunk> {
    yield chunk(1);
    throw new Error('a bad image');
  }
  t.throws(() => database.save([image([chunk(2)]), image(broken())]), { message: 'a bad image' });
  t.equal(database.chunks().count, 1);
  database.save([image([chunk(3)])]);
  t.equal(database.chunks().count, 2);
  database.close();
  t.same(fs.readdirSync(path.dirname(file)), ['x.db']);
});

t.test('values that make no sense', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  for (const [change, column] of [
    [`chunk SET chunk_digest = 'abc'`, 'chunk_digest'],
    [`chunk SET chunk_digest = NULL`, 'chunk_digest'],
    [`chunk SET chunk_crc32 = -1`, 'chunk_crc32'],
    [`chunk SET chunk_compressed_size = 4294967296`, 'chunk_compressed_size'],
    [`chunk SET chunk_uncompressed_offset = 1.5`, 'chunk_uncompressed_offset'],
    [`chunk SET chunk_compressed_offset = 9223372036854775807`, 'chunk_compressed_offset'],
    [`chunk SET image_reference = x'00'`, 'image_reference'],
    [`chunk SET chunk_index = 'x', chunk_flags = 1`, 'chunk_index'],
    [`blob SET blob_compressor = 'brotli'`, 'blob_compressor'],
    [`blob SET blob_compressor = 'toString'`, 'blob_compressor'],
    [`blob SET blob_table_entry = x'0011'`, 'blob_table_entry'],
    [`blob SET blob_meta_ci_offset = 'far'`, 'blob_meta_ci_offset'],
  ] as const) {
    fs.rmSync(file, { force: true });
    const database = new ChunkDictDatabase(file);
    database.save([image([chunk(0)])]);
    database.close();
    withTables(file, `UPDATE ${change}`);
    const again = new ChunkDictDatabase(file);
    const error = failure(() => [again.chunks(), again.blobs()]);
    t.match(error, { code: 'CORRUPT', at: { row: '1', column } }, change);
    again.close();
  }
});

t.test('what is no database, or has other tables', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'x.db');
  const refused = (name: string, message: RegExp): void => {
    const error = failure(() => new ChunkDictDatabase(name));
    t.match(error, { code: 'CORRUPT', message, at: { file: name } });
  };
  fs.writeFileSync(file, 'no database, and long enough to have a header of one'.repeat(100));
  refused(file, /not a database/);
  refused(path.join(directory, 'missing', 'x.db'), /open/);
  refused(directory, /open/);
  const other = path.join(directory, 'other.db');
  withTables(other, 'CREATE VIEW chunk AS SELECT 1');
  refused(other, /./);
});

t.test('a lock that was left behind is named', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  new ChunkDictDatabase(file).close();
  fs.mkdirSync(`${file}.lock`);
  t.match(
    failure(() => new ChunkDictDatabase(file).save([])),
    {
      code: 'CORRUPT',
      message: /locked.*x\.db\.lock/,
    },
  );
});
