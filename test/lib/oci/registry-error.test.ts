import fc from 'fast-check';
import t from 'tap';
import { registryMessage } from '../../../lib/oci/registry-error.js';

const said = (value: unknown): string | undefined =>
  registryMessage(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

t.test('what registries and token servers say', async t => {
  const unknown = { code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: { Tag: 'x' } };
  t.equal(said({ errors: [unknown] }), 'MANIFEST_UNKNOWN: manifest unknown');
  t.equal(said({ errors: [{ code: 'DENIED' }] }), 'DENIED');
  t.equal(said({ details: 'incorrect username or password' }), 'incorrect username or password');
  t.equal(said({ error: 'invalid_grant', error_description: 'no' }), 'invalid_grant: no');
  for (const nothing of [
    '',
    '<html>',
    '[]',
    'null',
    '{}',
    { errors: [] },
    { errors: [1] },
    { errors: 'x' },
  ]) {
    t.equal(said(nothing), undefined, JSON.stringify(nothing));
  }
  t.ok(said({ errors: [{ message: 'x'.repeat(9999) }] })!.length < 400);
});

t.test('any JSON', async () => {
  fc.assert(fc.property(fc.json(), json => ['string', 'undefined'].includes(typeof said(json))));
});
