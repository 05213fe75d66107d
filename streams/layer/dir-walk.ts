/**
 * dir-walk: a directory in the file system, as the entries of a layer and their content.
 *
 * makes entry, data, end, and external where `attributes` say so; a parent may come after its
 *   children (see `prefetch`)
 * holds a batch, and 1 MiB read ahead, of small files or of a large one
 */
import fs from 'node:fs';
import { Readable } from 'node:stream';
import type { Attributes } from '../../lib/layer/attributes.js';
import { override, type Overrides } from '../../lib/layer/overrides.js';
import {
  hasMarkedWhiteouts,
  isMarkedWhiteout,
  withoutMarks,
} from '../../lib/layer/overlay-marks.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { located } from '../../lib/errors.js';
import { divideExternal } from '../../lib/layer/external-entries.js';
import type { DataPart, EndPart, EntryPart, ExternalPart } from '../../lib/model/parts.js';
import { typeOfMode } from '../../lib/model/mode.js';
import type { Entry, EntryType } from '../../lib/model/entry.js';
import { whiteoutOf, type WhiteoutSpec } from '../../lib/layer/whiteout.js';
import { largeContent, openPools, SmallFiles, type ContentPools } from './file-content.js';
import { BatchBuilder, type Batch } from '../batch.js';
import { xattrReader } from './xattr.js';
import { shown } from '../../lib/model/names.js';

export type WalkPart = EntryPart | DataPart | EndPart | ExternalPart;

export interface DirWalkOptions {
  /** keep owners as they are; 0 if false. Default: true */
  explicitUidGid?: boolean;
  /** what is recorded instead of what the file system says */
  overrides?: Overrides | undefined;
  /** leave out whiteouts of this kind; an overlayfs-opaque directory stays */
  dropWhiteouts?: WhiteoutSpec;
  /** pass on whiteouts of this kind as bare entries, with nothing of their content */
  bareWhiteouts?: WhiteoutSpec;
  /** patterns (lib/layer/prefetch.ts): what they match comes first, pattern by pattern */
  prefetch?: readonly string[];
  /** which files are external: their content is not read */
  attributes?: Attributes | undefined;
  /** read small files ahead in the thread pool; by default, decided by how long reads take */
  readAhead?: boolean;
  /** what is not of the layer, such as files that the build itself makes, by its real path */
  leaveOut?: (path: Buffer) => boolean;
  /** called with one sentence for each thing left out */
  warn?: (message: string) => void;
}

/** An object found; `path` is where to open it. */
interface Found {
  entry: Entry;
  path: Buffer;
}

/** What becomes of an object: an external part, if any, and also an entry unless `unread`. */
interface Wanted extends Found {
  external?: ExternalPart;
  unread?: boolean;
}

/**
 * Walks in layout order: the root, the children of a directory by name, then each child directory.
 *
 * With patterns, what the first pattern matches comes first, in that order, then what the second
 * matches, and so on, then the rest: this is the order of the data in the blob. Fails with the
 * system's error and the path, or with MISMATCH for a file that became shorter.
 */
export const dirWalk = (root: string, options: DirWalkOptions = {}): DirWalk => {
  const pools: ContentPools = {};
  const walk = Readable.from(batches(root, options, pools), { highWaterMark: 2 });
  return Object.assign(walk, { usePools: () => openPools(pools) });
};

/** The stream of a walk. */
export interface DirWalk extends Readable {
  /**
   * From now on takes buffers from pools, for a caller that reports when they are free again. Each
   * pool's buffers are in stream order: one pool is for small files, which share buffers, the other
   * for large ones.
   */
  usePools(): readonly BufferPool[];
}

async function* batches(
  root: string,
  options: DirWalkOptions,
  pools: ContentPools,
): AsyncGenerator<Batch<WalkPart>> {
  const batch = new BatchBuilder<WalkPart>();
  const add = (bytes: Buffer): void => batch.add({ kind: 'data', bytes }, bytes.length);
  const files = new SmallFiles<Wanted>(wanted(root, options), options.readAhead, pools);
  try {
    for (let next = files.next(); next; next = files.next()) {
      const { entry, path, external, unread } = next.object;
      if (external) batch.add(external);
      if (unread) {
        if (batch.isFull) yield batch.take();
        continue;
      }
      batch.add({ kind: 'entry', entry });
      const content = next.content instanceof Promise ? await next.content : next.content;
      if (content) add(content);
      else if (entry.size > 0) {
        for await (const piece of largeContent(path, entry, pools.large)) {
          add(piece);
          if (batch.isFull) yield batch.take();
        }
      }
      batch.add(END);
      if (batch.isFull) yield batch.take();
    }
    if (!batch.isEmpty) yield batch.take();
  } catch (error) {
    throw located(error, { stage: 'dir-walk' });
  } finally {
    await files.close();
  }
}

const END: EndPart = { kind: 'end' };

/** All objects, and which image each is for. */
function* wanted(root: string, options: DirWalkOptions): Generator<Wanted> {
  const { attributes, warn } = options;
  if (!attributes) {
    yield* objects(root, options);
    return;
  }
  const missing = new Set(attributes.listed());
  const found = (path: string): void => void missing.delete(path);
  for (const { object, external, own } of divideExternal(
    objects(root, options),
    attributes,
    found,
  )) {
    yield { ...object, ...(external ? { external } : {}), unread: !own };
  }
  const [first] = missing;
  if (first === undefined) return;
  const count = missing.size;
  warn?.(`${count} of the external paths are not in the directory, the first is /${shown(first)}`);
}

/** All objects of the tree, each once, in output order. */
function* objects(root: string, options: DirWalkOptions): Generator<Found> {
  const { prefetch = [], dropWhiteouts = 'none', bareWhiteouts = dropWhiteouts } = options;
  const base = fs.realpathSync.native(root, { encoding: 'latin1' }).replace(/\/$/, '');
  const open = (path: string): string => (path === '' ? base || '/' : `${base}/${path}`);
  const look = looker(open, options);
  const apart = new Set(prefetch);

  /** What is below a directory, except what a pattern of its own puts elsewhere. */
  function* below(directory: string): Generator<Found> {
    const pending = [directory];
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const children: string[] = [];
      for (const name of namesIn(open(path))) {
        const child = path === '' ? name : `${path}/${name}`;
        const found = apart.has(child) ? undefined : look(child);
        if (!found) continue;
        yield found;
        if (found.entry.type === 'directory') children.push(child);
      }
      for (let i = children.length - 1; i >= 0; i--) pending.push(children[i]!);
    }
  }

  // The root holds no data, so it comes first whatever the patterns. Empty files and directories
  // hold none either, so everything below a pattern's match can come along with its files.
  const top = look('');
  if (top) yield top;
  for (const pattern of apart) {
    if (pattern === '') yield* below('');
    else if (reaches(pattern, open, bareWhiteouts)) {
      const found = look(pattern);
      if (!found) continue;
      yield found;
      if (found.entry.type === 'directory') yield* below(pattern);
    }
  }
  if (!apart.has('')) yield* below('');
}

/** Names in a directory, in byte order: each character of a latin1 string is one byte. */
const namesIn = (directory: string): string[] =>
  at(directory, () => fs.readdirSync(Buffer.from(directory, 'latin1'), 'latin1').sort());

/** Whether a pattern leads to an object, without following symlinks or entering whiteouts. */
const reaches = (
  pattern: string,
  open: (path: string) => string,
  whiteouts: WhiteoutSpec,
): boolean => {
  const components = pattern.split('/');
  if (pattern.includes('\0') || components.includes('..')) return false;
  return components.every((_, i) => {
    const path = components.slice(0, i + 1).join('/');
    const stat = statOrNone(Buffer.from(open(path), 'latin1'));
    if (i === components.length - 1) return stat !== undefined;
    return (
      stat?.isDirectory() &&
      whiteoutOf(whiteouts, { path, type: 'directory', rdev: 0 }) === undefined
    );
  });
};

const statOrNone = (path: Buffer): fs.Stats | undefined => {
  try {
    return fs.lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // a pattern may be any text
    if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return undefined;
    throw error;
  }
};

/** Makes a function that looks up one object; it returns undefined for what is left out. */
const looker = (
  open: (path: string) => string,
  {
    explicitUidGid = true,
    overrides = {},
    dropWhiteouts = 'none',
    bareWhiteouts = 'none',
    leaveOut = () => false,
    warn = () => undefined,
    attributes,
  }: DirWalkOptions,
): ((path: string) => Found | undefined) => {
  const firstNames = new Map<string, string>(); // of files with several names
  const spec = dropWhiteouts === 'none' ? bareWhiteouts : dropWhiteouts;
  const marked = spec === 'overlayfs';
  const keptMarks =
    spec === 'none' ? 'all' : bareWhiteouts === 'overlayfs' ? 'opaque' : ('none' as const);
  const xattrsOf = xattrReader(warn, { required: marked });
  const warned = new Set<string>();
  const leftOut = (name: string): void => {
    if (!warned.has(name)) warn(`the attribute ${name} is left out: it is of an overlay inside`);
    warned.add(name);
  };
  const isWhiteout = (path: string, entry: Entry, xattrs: ReturnType<typeof xattrsOf>): boolean =>
    marked &&
    isMarkedWhiteout(entry, xattrs) &&
    hasMarkedWhiteouts(xattrsOf(open(path.slice(0, Math.max(0, path.lastIndexOf('/'))))));
  return path =>
    at(path, () => {
      const where = open(path);
      const bytes = Buffer.from(where, 'latin1');
      if (leaveOut(bytes)) return undefined;
      const stat = fs.lstatSync(bytes, { bigint: true });
      const entry = entryOf(path, stat);
      // judged without xattrs, so that a directory they make opaque stays
      if (whiteoutOf(dropWhiteouts, entry)) return undefined;
      // a file with further names may be needed for those
      if (whiteoutOf(bareWhiteouts, entry) && (entry.type === 'directory' || stat.nlink === 1n)) {
        return { entry: { ...entry, type: bareType(entry.type), size: 0 }, path: bytes };
      }
      const xattrs = xattrsOf(where);
      if (isWhiteout(path, entry, xattrs)) {
        if (dropWhiteouts !== 'none') return undefined;
        return { entry: { ...entry, type: 'char', rdev: 0, size: 0 }, path: bytes };
      }
      // the mtime of the root says nothing about the layer, unless it is made to
      if (path === '' && overrides.mtimeClamp === undefined) entry.mtime = entry.mtimeNsec = 0;
      override(entry, overrides);
      if (!explicitUidGid) entry.uid = entry.gid = 0;
      if (entry.type === 'symlink') entry.target = fs.readlinkSync(bytes, 'latin1');
      if (entry.type !== 'directory' && stat.nlink > 1n) {
        // names of one file may refer to different external files
        const key = `${stat.dev}:${stat.ino}:${attributes?.keyOf(path) ?? ''}`;
        const first = firstNames.get(key);
        if (first === undefined) firstNames.set(key, path);
        else Object.assign(entry, { type: 'hardlink', target: first, size: 0 });
      }
      // the file here may be an empty placeholder for an external one
      if (entry.type === 'file' && entry.size === 0 && attributes?.isExternal(path)) {
        entry.size = attributes.fileSize(path) ?? 0;
      }
      const kept = withoutMarks(keptMarks, entry, xattrs, leftOut);
      if (kept) entry.xattrs = kept;
      return { entry, path: bytes };
    });
};

/** Devices keep their type: it may be what makes them whiteouts. */
const bareType = (type: EntryType): EntryType => (type === 'char' ? 'char' : 'file');

const entryOf = (path: string, stat: fs.BigIntStats): Entry => {
  const type = typeOf(stat);
  const nsec = ((stat.mtimeNs % SECOND) + SECOND) % SECOND; // not negative, even before 1970
  return {
    path,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: Number((stat.mtimeNs - nsec) / SECOND),
    mtimeNsec: Number(nsec),
    size: type === 'file' ? Number(stat.size) : 0,
    rdev: Number(BigInt.asUintN(32, stat.rdev)),
  };
};

const SECOND = 1_000_000_000n;

const typeOf = (stat: fs.BigIntStats): EntryType => {
  const type = typeOfMode(Number(stat.mode));
  if (!type) throw new Error(`unknown file type: mode 0${stat.mode.toString(8)}`);
  return type;
};

/** Runs `work` and says where it failed. */
const at = <T>(path: string, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw located(error, { path });
  }
};
