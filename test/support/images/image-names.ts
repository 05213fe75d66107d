/** All that an image says of its names, in a form that what a file system says can be held against. */
import { createHash } from 'node:crypto';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import type { InodeType } from '../../../lib/model/stored.js';
import type { Batch } from '../../../streams/batch.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import { blobReader, type ImagePart } from '../../../streams/read/blob-reader.js';

export interface Name {
  path: string;
  type: InodeType;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  /** of a symlink; else '' */
  target: string;
  /** major and minor number of a device; else '' */
  device: string;
  /** of a file */
  size: number;
  digest: string;
  /** each `name=value`, the value in hex */
  xattrs: readonly string[];
  /** the first name of the same inode */
  inode: string;
}

const byPath = (a: { path: string }, b: { path: string }): number => (a.path < b.path ? -1 : 1);

const deviceOf = (rdev: number): string =>
  `${(rdev >>> 8) & 0xfff}:${((rdev >>> 12) & 0xfff00) | (rdev & 0xff)}`;

/** All names but the root, by path. */
export const imageNames = async (
  bootstrap: Bootstrap,
  blobsById: ReadonlyMap<string, Buffer>,
): Promise<Name[]> => {
  const contents = await contentsOf(bootstrap, blobsById);
  const visits = [...walk(bootstrap)].filter(({ path }) => path !== '').sort(byPath);
  const firstNames = new Map<number, string>(); // in path order
  const firstRead = new Map<number, string>(); // in the order of the image
  for (const { inode, path } of walk(bootstrap)) {
    if (!firstRead.has(inode.id)) firstRead.set(inode.id, path);
  }
  return visits.map(({ path, inode }) => {
    const { id, type, mode, uid, gid, mtime } = inode;
    if (!firstNames.has(id)) firstNames.set(id, path);
    const content = type === 'file' ? contents.get(firstRead.get(id)!)! : { size: 0, digest: '' };
    return {
      path,
      type,
      mode: mode & 0o7777,
      uid,
      gid,
      mtime,
      target: type === 'symlink' ? bootstrap.symlinkTarget(inode) : '',
      device: type === 'char' || type === 'block' ? deviceOf(inode.rdev) : '',
      ...content,
      xattrs: [...bootstrap.xattrs(inode)].map(([key, value]) => `${key}=${value.toString('hex')}`),
      inode: firstNames.get(id)!,
    };
  });
};

/** Size and sha256 of files, by their first path. */
const contentsOf = async (
  bootstrap: Bootstrap,
  blobsById: ReadonlyMap<string, Buffer>,
): Promise<Map<string, Pick<Name, 'size' | 'digest'>>> => {
  const contents = new Map<string, Pick<Name, 'size' | 'digest'>>();
  const blobs = new Map(
    bootstrap.blobs.map(({ id, index }) => [index, readerOf(blobsById.get(id)!, id)]),
  );
  let hash = createHash('sha256');
  let size = 0;
  let path = '';
  // what the reader makes are batches of parts
  for await (const batch of blobReader({ bootstrap, blobs }) as AsyncIterable<Batch<ImagePart>>) {
    for (const part of batch) {
      if (part.kind === 'entry') [path, size, hash] = [part.entry.path, 0, createHash('sha256')];
      else if (part.kind === 'chunk') {
        hash.update(part.bytes);
        size += part.bytes.length;
      } else contents.set(path, { size, digest: hash.digest('hex') });
    }
  }
  return contents;
};

/**
 * Makes two lists alike where they may differ: containerd takes no time before 1970, sets no
 * xattr of `trusted.`, and Linux none of `user.` but for files and directories. A directory whose
 * entries were changed, or that no layer describes, has the time of the unpacking.
 */
const comparable = (names: readonly Name[], unknown: ReadonlySet<string>): string[] =>
  names.map(({ path, type, mode, uid, gid, mtime, target, device, size, digest, ...rest }) => {
    const plain = type === 'file' || type === 'directory';
    const xattrs = rest.xattrs.filter(
      xattr => !xattr.startsWith('trusted.') && (plain || !xattr.startsWith('user.')),
    );
    const time = unknown.has(path) ? 'any time' : Math.max(0, mtime);
    const content = type === 'file' ? `${size} ${digest.slice(0, 8)}` : '';
    const links = rest.inode === path ? '' : `is ${JSON.stringify(rest.inode)}`;
    const permissions = type === 'symlink' ? '' : mode.toString(8); // Linux has none for symlinks
    return [
      ...[JSON.stringify(path), type, permissions, `${uid}:${gid}`, time],
      ...[JSON.stringify(target), device, content, [...xattrs].sort().join(), links],
    ].join(' ');
  });

/** The first line in which an image is not what was unpacked, if any. */
export const firstDifference = (
  found: readonly Name[],
  due: readonly Name[],
  since: number,
): string | undefined => {
  const unknown = new Set(
    due.filter(({ type, mtime }) => type === 'directory' && mtime >= since).map(({ path }) => path),
  );
  const [ours, theirs] = [comparable(found, unknown), comparable(due, unknown)];
  const at = ours.findIndex((line, i) => line !== theirs[i]);
  if (at < 0 && ours.length === theirs.length) return undefined;
  const i = at < 0 ? ours.length : at;
  return `got ${ours[i] ?? 'no more'}, expected ${theirs[i] ?? 'no more'}`;
};
