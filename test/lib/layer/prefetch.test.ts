import fc from 'fast-check';
import t from 'tap';
import { parsePrefetchPatterns, prefetchMatcher } from '../../../lib/layer/prefetch.js';

const parse = (text: string) => parsePrefetchPatterns(Buffer.from(text));

t.test('one path a line, with or without a last line feed', async t => {
  t.same(parse(''), { patterns: [], warnings: [] });
  t.same(parse('/'), { patterns: [''], warnings: [] }, 'what the usual client sends');
  t.same(parse('/a\n/b/c\n'), { patterns: ['a', 'b/c'], warnings: [] });
  t.same(parse(' \t/a b\r\n'), { patterns: ['a b'], warnings: [] });
});

t.test('paths are equal when their components are', async t => {
  t.same(parse('/a//b/./c/\n').patterns, ['a/b/c']);
  t.same(parse('//.').patterns, ['']);
  t.same(parse('/a/../b').patterns, ['a/../b'], 'nothing is climbed');
});

t.test('what is not absolute is left out with a warning', async t => {
  t.same(parse('a/b\n\n/c'), {
    patterns: ['c'],
    warnings: [
      'Illegal file path a/b specified, should be absolute path',
      'Illegal file path  specified, should be absolute path',
    ],
  });
});

t.test('what an earlier pattern covers is left out; a later one removes nothing', async t => {
  t.same(parse('/a/b\n/a/b\n/a/b/c\n/a\n/ab'), {
    patterns: ['a/b', 'a', 'ab'],
    warnings: [
      'prefetch pattern /a/b is covered by previous pattern and thus omitted',
      'prefetch pattern /a/b/c is covered by previous pattern and thus omitted',
    ],
  });
  t.same(parse('/\n/x').patterns, ['']);
});

t.test('names are bytes', async t => {
  // c3 a0: the second byte alone would be a blank
  t.same(parse('/\u00e0\n').patterns, ['\xc3\xa0']);
  t.same(parsePrefetchPatterns(Buffer.from('/\xff\n', 'latin1')).patterns, ['\xff']);
  t.match(parse('\u00e0').warnings[0], 'path \u00e0 specified');
});

t.test('a long run of blanks takes no long time', async t => {
  t.same(parse(`/a${' '.repeat(1e6)}b${' '.repeat(1e6)}`).patterns[0]?.length, 1e6 + 2);
});

t.test('the nearest pattern counts', async t => {
  const of = prefetchMatcher(['a/b', 'a', 'x/y']);
  t.equal(of('a/b'), 0);
  t.equal(of('a/b/c/d'), 0);
  t.equal(of('a'), 1);
  t.equal(of('a/bc'), 1);
  t.equal(of('x'), undefined);
  t.equal(of(''), undefined);
  t.equal(of('x/y/z'), 2);
  const all = prefetchMatcher(['a', '']);
  t.equal(all(''), 1);
  t.equal(all('b/c'), 1);
  t.equal(all('a/c'), 0);
  t.equal(prefetchMatcher([])('a'), undefined);
});

t.test('agrees with going through all patterns', async t => {
  const path = fc.array(fc.constantFrom('a', 'b', 'ab'), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(path, { maxLength: 5 }), path, (given, of) => {
      const text = given.map(components => `/${components.join('/')}\n`).join('');
      const { patterns, warnings } = parse(text);
      t.equal(patterns.length + warnings.length, given.length);
      const covering = patterns.filter(
        p => p === '' || of.join('/') === p || of.join('/').startsWith(`${p}/`),
      );
      const longest = covering.sort((a, b) => b.length - a.length)[0];
      const position = longest === undefined ? undefined : patterns.indexOf(longest);
      t.equal(prefetchMatcher(patterns)(of.join('/')), position);
    }),
  );
});
