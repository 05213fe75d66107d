/** What is recorded of a directory instead of what its file system says, so that equal trees give equal images. */
import { RafsError } from '../errors.js';
import type { Entry } from '../model/entry.js';

export interface Overrides {
  /** of all files */
  owner?: { uid: number; gid: number } | undefined;
  /** in seconds since 1970: later changes are recorded as of then */
  mtimeClamp?: number | undefined;
}

const MAX_ID = 0xffff_ffff;

/** Reads `UID:GID`, or one number for both. */
export const parseOwner = (text: string): { uid: number; gid: number } => {
  const [, uid, gid = uid] = /^([0-9]+)(?::([0-9]+))?$/.exec(text) ?? [];
  const owner = { uid: Number(uid), gid: Number(gid) };
  if (owner.uid <= MAX_ID && owner.gid <= MAX_ID) return owner;
  throw new RafsError('USAGE', `expected an owner as UID:GID, in numbers, got '${text}'`);
};

/** Reads seconds since 1970. @param name of where the text comes from */
export const parseTime = (text: string, name: string): number => {
  const time = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(time)) return time;
  throw new RafsError('USAGE', `expected seconds since 1970 in ${name}, got '${text}'`);
};

/** Changes an entry. */
export const override = (entry: Entry, { owner, mtimeClamp }: Overrides): void => {
  if (owner) Object.assign(entry, owner);
  if (mtimeClamp === undefined) return;
  if (entry.mtime < mtimeClamp) return;
  entry.mtime = mtimeClamp;
  entry.mtimeNsec = 0;
};
