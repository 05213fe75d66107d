/** Which of the entries of a directory are in its image, and which in that of external files. */
import type { Attributes } from './attributes.js';
import type { Entry, ExternalPart } from './parts.js';

/** An entry for one of the images, or for both. */
export interface Divided<T> {
  object: T;
  /** what it is in the image of external files, if it is there */
  external?: ExternalPart;
  /** it is in the image of the directory too */
  own: boolean;
}

/**
 * Divides entries, whose order stays but for directories that are marked as external.
 *
 * A path that is external is in the image of external files, and only there; so are directories
 * that lead to it, and what they are marked by. If such a directory has something in it that is
 * not external, it is in both images: nydus-image leaves out what is in it. The root is in both.
 *
 * CORRUPT where it is not said where an external file lies. `found` is told of each listed path.
 */
export function* divideExternal<T extends { entry: Entry }>(
  objects: Iterable<T>,
  attributes: Attributes,
  found: (path: string) => void,
): Generator<Divided<T>> {
  const waiting = new Map<string, T>(); // external directories, until something in them is not
  const needed = new Set<string>(); // such directories that come after what is in them

  function* parents(path: string): Generator<Divided<T>> {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      if (!attributes.isExternal(parent)) continue;
      const object = waiting.get(parent);
      needed.add(parent);
      waiting.delete(parent);
      if (object) yield { object, own: true };
    }
  }

  for (const object of objects) {
    const { entry } = object;
    const { path } = entry;
    if (path === '') {
      yield { object, own: true };
      continue;
    }
    const isExternal = attributes.isExternal(path);
    if (!isExternal) yield* parents(path);
    const isNeeded = isExternal && entry.type === 'directory' && needed.has(path);
    if (isExternal && entry.type === 'directory' && !isNeeded) waiting.set(path, object);
    const own = !isExternal || isNeeded;
    if (attributes.leadsToExternal(path)) {
      found(path);
      yield { object, external: externalPart(entry, attributes), own };
    } else {
      yield { object, own };
    }
  }
}

const externalPart = (entry: Entry, attributes: Attributes): ExternalPart => {
  const { path, type, size } = entry;
  if (type !== 'file' || size === 0) return { kind: 'external', entry };
  return { kind: 'external', entry, place: attributes.place(path, size) };
};
