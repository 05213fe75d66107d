import fc from 'fast-check';
import t from 'tap';
import { TopDownView } from '../../../lib/layer/top-down-view.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';

const entry = (path: string, type: EntryType = 'file', target?: string): Entry => ({
  ...{ path, type, mode: 0o644, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, size: 0, rdev: 0 },
  ...(target === undefined ? {} : { target }),
  xattrs: new Map(),
});

/** Layers, the topmost first; the result has `layer:path` of each visible entry. */
const visible = (layers: readonly (readonly Entry[])[]): string[] => {
  const view = new TopDownView();
  return layers.flatMap((entries, i) => {
    view.beginLayer();
    return entries
      .filter(one => view.add(one).kind === 'visible')
      .map(({ path }) => `${i}:${path}`);
  });
};

/** The same by the rules of the image spec: layers are laid over each other, the lowest first. */
const overlaid = (layers: readonly (readonly Entry[])[]): string[] => {
  let tree = new Map<string, { layer: number; type: EntryType }>();
  const without = (path: string, self: boolean): void => {
    tree = new Map(
      [...tree].filter(([at]) => !at.startsWith(`${path}/`) && !(self && at === path)),
    );
  };
  for (const [up, entries] of [...layers].reverse().entries()) {
    const layer = layers.length - 1 - up;
    for (const { path } of entries) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
      if (name === '.wh..wh..opq') without(parent, false);
      else if (name.startsWith('.wh.')) {
        without(`${parent === '' ? '' : `${parent}/`}${name.slice(4)}`, true);
      }
    }
    for (const { path, type } of entries) {
      if (path.includes('.wh.')) continue;
      const old = tree.get(path);
      if (type !== 'directory' || (old && old.type !== 'directory')) without(path, true);
      tree.set(path, { layer, type });
    }
  }
  return [...tree].map(([path, { layer }]) => `${layer}:${path}`);
};

t.test('what is visible from above is what is there when all layers are applied', async t => {
  const names = ['a', 'b'] as const;
  // each layer makes sense by itself: a tree of two levels, and whiteouts in its directories
  const layer = fc
    .record({
      top: fc.dictionary(
        fc.constantFrom(...names),
        fc.oneof(
          fc.constant('file' as const),
          fc.record({ opaque: fc.boolean(), in: fc.uniqueArray(fc.constantFrom(...names)) }),
        ),
      ),
      removed: fc.uniqueArray(fc.constantFrom('a', 'b', 'a/a', 'a/b', 'b/a')),
    })
    .map(({ top, removed }) => {
      const entries: Entry[] = [];
      for (const [name, what] of Object.entries(top)) {
        if (what === 'file') entries.push(entry(name));
        else {
          entries.push(entry(name, 'directory'));
          if (what.opaque) entries.push(entry(`${name}/.wh..wh..opq`));
          for (const child of what.in) entries.push(entry(`${name}/${child}`));
        }
      }
      const have = new Set(entries.map(({ path }) => path));
      for (const path of removed) {
        const [first, second] = path.split('/') as [string, string?];
        if (have.has(path) || (second !== undefined && typeof top[first] !== 'object')) continue;
        entries.push(entry(second === undefined ? `.wh.${first}` : `${first}/.wh.${second}`));
      }
      return entries;
    });
  fc.assert(
    fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), layers => {
      t.strictSame(visible(layers).sort(), overlaid(layers).sort());
    }),
  );
});

t.test('names of what an upper layer hides still name its content', async t => {
  const view = new TopDownView();
  view.beginLayer();
  view.add(entry('kept'));
  view.add(entry('.wh.gone'));
  view.beginLayer();
  t.strictSame(view.add(entry('gone')), { kind: 'hidden' });
  t.equal(view.number, 0);
  t.strictSame(view.add(entry('link', 'hardlink', 'gone')), {
    kind: 'link',
    origin: { kind: 'entry', number: 0 },
  });
  t.strictSame(view.add(entry('far', 'hardlink', 'elsewhere')), {
    kind: 'link',
    origin: { kind: 'below', path: 'elsewhere' },
  });
  t.strictSame(view.add(entry('kept', 'hardlink', 'gone')), { kind: 'hidden' });
  view.add(entry('fresh'));
  t.equal(view.hidesBelow('fresh/x'), true);
  t.equal(view.hidesBelow('other'), false);
});
