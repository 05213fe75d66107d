import fc from 'fast-check';
import t from 'tap';
import type { ChunkRow } from '../../../lib/chunkdict/rows.js';
import { selectChunks } from '../../../lib/chunkdict/select.js';
import { chunkRow, digestOf, rowsOf } from '../../support/images/chunkdict.js';

/** Names of contents that are chosen, and of images in no cluster. */
const choose = (list: readonly ChunkRow[], names: readonly string[]) => {
  const rows = rowsOf(list);
  const { rows: chosen, noise } = selectChunks(rows);
  const has = (name: string): boolean =>
    chosen.some(row => digestOf(name).equals(rows.digestOf(rows.digest.get(row))));
  return { chosen: names.filter(has), noise: noise.map(image => rows.images.list[image]!) };
};

/** Versions of an image, by tag, with the contents of each. */
const image = (name: string, versions: Record<string, readonly string[]>): ChunkRow[] =>
  Object.entries(versions).flatMap(([version, contents]) =>
    contents.map(content => chunkRow({ image: name, version, content })),
  );

t.test('nothing is chosen of nothing, and of images of one version', async t => {
  t.same(choose([], []), { chosen: [], noise: [] });
  const two = [...image('one', { v1: ['a', 'b'] }), ...image('two', { v1: ['a', 'c'] })];
  t.same(choose(two, ['a', 'b', 'c']), { chosen: [], noise: ['one', 'two'] });
});

t.test('what stays from version to version', async t => {
  // the first two of four versions are learned from: the first chunk scores 0.5, the second 0.75
  const contents = ['one', 'two', 'three'];
  const versions = {
    v1: [...contents, 'old'],
    v2: [...contents, 'new'],
    v3: [...contents, 'later'],
    v4: contents,
  };
  t.same(choose(image('app', versions), [...contents, 'old', 'new', 'later']), {
    chosen: ['two', 'three'],
    noise: ['app'],
  });
});

t.test('versions are in the order of the numbers in their tags', async t => {
  // v2, v9 and v10, v11: not as text, where v10 and v11 come first
  const versions = {
    v10: ['x', 'y', 'z'],
    v11: ['x', 'y', 'z'],
    v2: ['a', 'b', 'c'],
    v9: ['a', 'b', 'c'],
  };
  const { chosen } = choose(image('app', versions), ['a', 'b', 'c', 'x', 'y', 'z']);
  // no choice helps v10 and v11: then it is the highest threshold, and only c scores more
  t.same(chosen, ['c']);
});

t.test('what most images share, once they have enough versions', async t => {
  const list: ChunkRow[] = [];
  for (let n = 0; n < 11; n++) {
    const base = ['libc', 'bash', 'certs'];
    list.push(...image(`app${n}`, { v1: [...base, `own ${n}`], v2: [...base, `other ${n}`] }));
  }
  list.push(...image('lonely', { v1: ['q'], v2: ['q'] }));
  const { chosen, noise } = choose(list, ['libc', 'bash', 'certs', 'own 3', 'other 3', 'q']);
  t.same(chosen, ['libc', 'bash', 'certs']);
  t.same(noise, ['lonely']);
});

t.test('any rows: what is chosen is among them, and the same every time', async t => {
  const row = fc.record({
    image: fc.constantFrom('a', 'b', 'c'),
    version: fc.constantFrom('', 'v1', 'v2', '1.10', '1.9', '99999999999', 'latest'),
    content: fc.nat(12),
    compressedSize: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 80 }), list => {
      const rows = rowsOf(list.map(chunkRow));
      const first = selectChunks(rows);
      const again = selectChunks(rows);
      if (JSON.stringify(first) !== JSON.stringify(again)) throw new Error('differs');
      return first.rows.every(n => n >= 0 && n < rows.count);
    }),
  );
  t.pass('held');
});
