import fc from 'fast-check';
import t from 'tap';
import {
  describe,
  EXIT,
  exitStatus,
  located,
  contextOf,
  RafsError,
  type Code,
  printable,
} from '../../lib/errors.js';

t.test('what moves a terminal is shown, not sent', async t => {
  t.equal(
    printable('a\x1b[2J\u202eb\x9b\u2066c\td\n'),
    'a\\u001b[2J\\u202eb\\u009b\\u2066c\\td\\n',
  );
  t.equal(printable('a\tb\n\r', { lines: true }), 'a\tb\n\\r');
  t.equal(printable('naïve 漢字 🙂'), 'naïve 漢字 🙂');
});

t.test('an error has a code, a message and a place', async t => {
  const cause = new Error('why');
  const error = new RafsError('CORRUPT', 'got 1 of 2', { path: 'a/b' }, { cause });
  t.match(error, { name: 'RafsError', code: 'CORRUPT', message: 'got 1 of 2', cause });
  t.same(error.at, { path: 'a/b' });
  t.ok(error instanceof Error);
});

t.test('exit status: wrong usage and unmergeable bootstraps 2, all else 1', async t => {
  const status = (code: Code) => exitStatus(new RafsError(code, ''));
  t.same(
    Object.keys(EXIT)
      .map(code => [code, status(code as Code)])
      .sort(),
    [
      ['BACKEND', 1],
      ['CORRUPT', 1],
      ['INCONSISTENT', 2],
      ['LIMIT', 1],
      ['MISMATCH', 1],
      ['UNSUPPORTED', 1],
      ['USAGE', 2],
    ],
  );
  t.equal(exitStatus(new Error('x')), 1);
  t.equal(exitStatus(Object.assign(new Error('x'), { code: 'ENOENT' })), 1);
  t.equal(exitStatus('x'), 1);
});

t.test('a place grows on its way up and the innermost wins', async t => {
  const error = new RafsError('CORRUPT', 'x', { field: 'size' });
  const up = located(located(error, { stage: 'inner', field: 'other' }), {
    stage: 'outer',
    path: 'p',
  });
  t.equal(up, error, 'the same object');
  t.same(contextOf(up), { field: 'size', stage: 'inner', path: 'p' });
});

t.test('foreign errors get a place and keep their code', async t => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT' });
  const up = located(error, { stage: 'source' });
  t.match(up, { code: 'ENOENT', message: 'no such file' });
  t.same(contextOf(up), { stage: 'source' });
  t.match(located('thrown text', { stage: 's' }), { message: 'thrown text' });
  t.same(contextOf(undefined), {});
  t.same(contextOf(null), {});
  t.same(contextOf(new Error('x')), {});
});

t.test('the line for a person has message and place', async t => {
  t.equal(
    describe(new RafsError('CORRUPT', 'got 1 of 2', { path: 'a', offset: 7 })),
    'got 1 of 2 (path a, offset 7)',
  );
  const cause = new Error('because', { cause: new Error('of that') });
  t.equal(describe(new Error('not done', { cause })), 'not done: because: of that');
  t.equal(describe(new Error('plain')), 'plain');
  t.equal(describe('text'), 'text');
});

t.test(
  'the line is one line without control characters, whatever a layer names its files',
  async t => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (message, path) => {
        const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
        const line = describe(new RafsError('CORRUPT', latin1(message), { path: latin1(path) }));
        return [...line].every(c => c >= ' ' && !(c >= '\x7f' && c <= '\x9f'));
      }),
    );
    t.equal(describe(new Error('a\nb\x7f\x9bc')), 'a\\nb\\u007f\\u009bc');
  },
);

t.test(
  'a message repeats at most 200 bytes of an input, but all of a path that was given',
  async t => {
    const long = 'grün'.repeat(1000);
    const bytes = Buffer.from(long).toString('latin1');
    const line = describe(
      new RafsError('CORRUPT', `hardlink to '${bytes}', which is "${'x'.repeat(9000)}"`, {
        path: bytes,
      }),
    );
    t.ok(line.length < 800, line);
    t.match(line, /ngrün\.\.\. \(5000 bytes\)|ngr\.\.\. \(5000 bytes\)/);
    const file = `/${'d'.repeat(250)}/x`;
    t.ok(describe(new RafsError('CORRUPT', 'bad', { file })).endsWith(`(file ${file})`));
    const open = new Error(`ENOENT: no such file or directory, open '${file}'`);
    t.ok(describe(open).includes(file));
  },
);
