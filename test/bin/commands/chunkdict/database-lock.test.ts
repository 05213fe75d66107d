/** A database has one owner at a time, and one that was killed is none. */
import fs from 'node:fs';
import path from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import t from 'tap';
import { takeDatabase } from '../../../../bin/commands/chunkdict/database-lock.js';
import { ownMark, parseMark } from '../../../../streams/files/process-mark.js';
import { ChunkDictDatabase } from '../../../../bin/commands/chunkdict/database.js';
import { temporaryDirectory } from '../../../support/process/fs.js';

const { realm } = parseMark(ownMark())!;
const KILLED = `${realm}-4194305-1`; // numbers of processes have at most 22 bits

t.test('taken once, and again when it was given back', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  const giveBack = takeDatabase(file);
  t.throws(() => takeDatabase(file), {
    code: 'BACKEND',
    message: new RegExp(`in use by process ${process.pid} `),
  });
  giveBack();
  t.same(fs.readdirSync(path.dirname(file)), []);
  takeDatabase(file)();
  t.same(fs.readdirSync(path.dirname(file)), []);
});

t.test('a run that was killed blocks nobody: its lock goes with it', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  new ChunkDictDatabase(file).close();
  fs.writeFileSync(`${file}.owner`, KILLED);
  fs.mkdirSync(`${file}.lock`);
  const database = new ChunkDictDatabase(file);
  database.save([]);
  database.close();
  t.same(fs.readdirSync(path.dirname(file)), ['x.db']);
});

t.test('a lock that nobody owns may be that of another program', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  new ChunkDictDatabase(file).close();
  const other = new sqlite.Database(file);
  other.exec('BEGIN EXCLUSIVE');
  t.throws(() => new ChunkDictDatabase(file).save([]), { code: 'CORRUPT', message: /x\.db\.lock/ });
  other.exec('COMMIT');
  other.close();
  const database = new ChunkDictDatabase(file);
  database.save([]);
  database.close();
  t.same(fs.readdirSync(path.dirname(file)), ['x.db']);
});

t.test('an owner of another machine or container is not asked whether it runs', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  for (const mark of ['ffffffff-1-1', 'what is this']) {
    fs.writeFileSync(`${file}.owner`, mark);
    t.throws(() => takeDatabase(file), { code: 'BACKEND', message: /remove .*x\.db\.owner/ }, mark);
  }
});

t.test('with the key of encrypted blobs, others may not read it', async t => {
  const file = path.join(temporaryDirectory(t), 'x.db');
  fs.writeFileSync(file, '');
  fs.chmodSync(file, 0o644);
  new ChunkDictDatabase(file, { secret: true }).close();
  t.equal(fs.statSync(file).mode & 0o777, 0o600);
});
