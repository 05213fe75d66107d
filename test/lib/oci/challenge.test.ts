import fc from 'fast-check';
import t from 'tap';
import { parseChallenges } from '../../../lib/oci/challenge.js';

t.test('challenges as they are written', async t => {
  for (const [text, due] of [
    [
      'Bearer realm="https://a/b?c=d",service="x, y",scope="a\\"b"',
      [['bearer', { realm: 'https://a/b?c=d', service: 'x, y', scope: 'a"b' }]],
    ],
    ['  BASIC Realm=plain, charset = "UTF-8"', [['basic', { realm: 'plain', charset: 'UTF-8' }]]],
    ['Negotiate', [['negotiate', {}]]],
    [
      'Negotiate abc==, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      'Basic realm="x", Bearer realm="https://t",service="s"',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'https://t', service: 's' }],
      ],
    ],
    [
      'Bearer realm="https://t",scope="repository:a:pull,push" , Basic realm=x',
      [
        ['bearer', { realm: 'https://t', scope: 'repository:a:pull,push' }],
        ['basic', { realm: 'x' }],
      ],
    ],
    [
      'Bearer realm="https://t" error="invalid_token"',
      [['bearer', { realm: 'https://t', error: 'invalid_token' }]],
    ],
    ['Bearer realm=""', [['bearer', { realm: '' }]]],
    ['', []],
    ['"', []],
    [',,,', []],
    ['=x', []],
  ] as const) {
    t.strictSame(
      parseChallenges([text]).map(({ scheme, values }) => [scheme, values]),
      due,
      text,
    );
  }
  t.strictSame(
    parseChallenges(['Basic realm=a', 'Bearer realm=b']).map(({ scheme }) => scheme),
    ['basic', 'bearer'],
  );
});

t.test('any text ends in challenges', async () => {
  const text = fc.string({ unit: fc.constantFrom(...'aB1=", \\;()\t~é'), maxLength: 60 });
  fc.assert(fc.property(text, text => Array.isArray(parseChallenges([text]))));
});

t.test('a long header takes no long time', async t => {
  for (const unit of ['"', 'a=', 'a ', '\\"', 'a="', ',']) {
    t.ok(Array.isArray(parseChallenges([unit.repeat(20_000)])), unit);
  }
});
