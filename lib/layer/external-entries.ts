/** Which entries of a directory are in its own image, and which in the image of external files. */
import type { Attributes } from './attributes.js';
import type { ExternalPart } from '../model/parts.js';
import type { Entry } from '../model/entry.js';

/** An entry for one of the images, or for both. */
export interface Divided<T> {
  object: T;
  /** its part in the image of external files, if it is there */
  external?: ExternalPart;
  /** it is in the directory's own image */
  own: boolean;
}

/**
 * Divides entries between the two images. Their order stays, except that directories that turn out
 * to be in both images come a second time.
 *
 * An external path is only in the image of external files, and so are directories that lead to it.
 * If such a directory contains something that is not external, or is listed as not external, it is
 * in both images (nydus-image leaves out such contents). The root is in both.
 *
 * CORRUPT if it is not stated where an external file lies. `found` is called for every path in the
 * image of external files.
 */
export function* divideExternal<T extends { entry: Entry }>(
  objects: Iterable<T>,
  attributes: Attributes,
  found: (path: string) => void,
): Generator<Divided<T>> {
  const waiting = new Map<string, T>(); // external directories with nothing else in them so far
  const needed = new Set<string>(); // those with something else in them, even if that came first

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
