/** A walk over all names of an image. */

import { RafsError, located } from '../errors.js';
import { MAX_PATH } from '../model/limits.js';
import type { Inode } from '../model/stored.js';
import type { Bootstrap } from './bootstrap.js';

/** One name in the tree. */
export interface Visit {
  /** components joined by '/', without a leading one; '' is the root */
  path: string;
  name: string;
  /** of the child; `inode` has another id only if this is a further name of a v5 file */
  id: number;
  inode: Inode;
  parentId: number;
  /** an earlier name has the same inode */
  repeated: boolean;
}

/** A set of ids. */
export class IdSet {
  #bits: Uint8Array;

  constructor(limit: number) {
    this.#bits = new Uint8Array(Math.ceil(limit / 8));
  }

  has(id: number): boolean {
    return (this.#bits[Math.floor(id / 8)]! & (1 << (id % 8))) !== 0;
  }

  /** Returns false if the id was there already. */
  add(id: number): boolean {
    if (this.has(id)) return false;
    this.#bits[Math.floor(id / 8)]! |= 1 << (id % 8);
    return true;
  }
}

/**
 * Every name of the tree, parents before children, children in byte order.
 *
 * CORRUPT if a directory has two names or lies within itself, if an inode with one link has two
 * names, or if directories or files share their tables so often that even a small image would
 * never be walked to its end.
 */
export function* walk(bootstrap: Bootstrap): Iterable<Visit> {
  const { limits } = bootstrap;
  const seen = new IdSet(bootstrap.idLimit);
  let names = 0;
  let chunks = 0;
  const root = bootstrap.inode(bootstrap.rootId);
  seen.add(root.id);
  yield { path: '', name: '', id: root.id, inode: root, parentId: root.id, repeated: false };
  const open = [
    { id: root.id, prefix: '', children: bootstrap.children(root, root.id)[Symbol.iterator]() },
  ];
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const { id: parentId, prefix, children } = top;
    const next = atPath(prefix, () => children.next());
    if (next.done) {
      open.pop();
      continue;
    }
    const { name, id } = next.value;
    const path = prefix + name;
    if (path.length > MAX_PATH) {
      throw new RafsError(
        'LIMIT',
        `a path of ${path.length} bytes exceeds the limit of ${MAX_PATH}`,
        {
          path: `/${path.slice(0, 64)}`,
        },
      );
    }
    const inode = atPath(path, () => bootstrap.inode(id));
    const repeated = !seen.add(inode.id);
    if (repeated && inode.nlink === 1) {
      throw new RafsError('CORRUPT', `inode ${id} has two names, but a link count of 1`, {
        path: `/${path}`,
      });
    }
    names += 1;
    if (!repeated && inode.type === 'file') chunks += inode.chunkCount;
    if (names > limits.names || chunks > limits.chunks) {
      const most = `at most ${limits.names} names and ${limits.chunks} chunks fit in the image`;
      throw new RafsError('CORRUPT', `${most}, got ${names} and ${chunks}`, {
        path: `/${path}`,
      });
    }
    if (inode.type === 'directory') {
      if (repeated) {
        throw new RafsError('CORRUPT', `directory ${id} has two names`, { path: `/${path}` });
      }
      yield { path, name, id, inode, parentId, repeated };
      const grandchildren = atPath(path, () =>
        bootstrap.children(inode, parentId)[Symbol.iterator](),
      );
      open.push({ id, prefix: `${path}/`, children: grandchildren });
    } else {
      yield { path, name, id, inode, parentId, repeated };
    }
  }
}

/** Runs `work` and adds the path to an error that it throws. */
export const atPath = <T>(path: string, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw located(error, { path: `/${path}` });
  }
};
