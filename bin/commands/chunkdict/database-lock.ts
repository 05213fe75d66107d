/**
 * Who works with a database: the file `.owner` beside it says so, with the mark of its process.
 *
 * SQLite's library here locks a database by a directory, `.lock`, which stays when its process is
 * killed. It is removed if the owner's mark says that its process has ended, and only then: another
 * program may have made it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { RafsError } from '../../../lib/errors.js';
import { hasEnded, ownMark, parseMark } from '../../../streams/files/process-mark.js';
import { temporaryName } from '../../../streams/files/temporary-name.js';

/** Most times that others get in between. */
const MOST_TRIES = 10;

/** Takes a database for this process; BACKEND if another has it. Returns how to give it back. */
export const takeDatabase = (database: string): (() => void) => {
  const owner = `${database}.owner`;
  if (!isWritable(path.dirname(database))) return () => undefined; // opening it tells why
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    if (claim(owner)) return () => fs.rmSync(owner, { force: true });
    const text = read(owner);
    const mark = text === undefined ? undefined : parseMark(text);
    if (text === undefined) continue; // it was given back just now
    if (!mark || hasEnded(mark) !== true) {
      const who = mark ? `process ${mark.pid}` : 'another process';
      const hint = `if that has ended, remove ${owner}`;
      throw new RafsError('BACKEND', `the database is in use by ${who} (${hint})`, {
        file: database,
      });
    }
    releaseFor(owner, text, `${database}.lock`);
  }
  throw new RafsError('BACKEND', 'the database is in use by others', { file: database });
};

const isWritable = (directory: string): boolean => {
  try {
    fs.accessSync(directory, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

const codeOf = (error: unknown): string | undefined => (error as { code?: string }).code;

const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

/** Makes the file with our mark in it, in one step; false if there is one. */
const claim = (owner: string): boolean => {
  const made = temporaryName(path.dirname(owner));
  try {
    fs.writeFileSync(made, ownMark(), { flag: 'wx' });
    try {
      fs.linkSync(made, owner);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') throw error;
      fs.copyFileSync(made, owner, fs.constants.COPYFILE_EXCL); // no hardlinks here
    }
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    fs.rmSync(made, { force: true });
  }
};

/** Takes the database from a process that has ended, unless somebody else was quicker. */
const releaseFor = (owner: string, text: string, lock: string): void => {
  const taken = temporaryName(path.dirname(owner));
  try {
    fs.renameSync(owner, taken);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (read(taken) === text) fs.rmSync(lock, { recursive: true, force: true });
    else if (read(owner) === undefined) fs.linkSync(taken, owner); // it has an owner again
  } finally {
    fs.rmSync(taken, { force: true });
  }
};
