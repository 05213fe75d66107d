import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import t from 'tap';
import { DigestTee } from '../../../streams/transport/digest-tee.js';
import type { PutOptions } from '../../../streams/transport/target.js';

const BYTES = Buffer.from('some bytes of a blob');
const DIGEST = `sha256:${createHash('sha256').update(BYTES).digest('hex')}`;

/** Passes the bytes on, a few at a time. */
const through = async (due?: PutOptions): Promise<{ tee: DigestTee; passed: Buffer }> => {
  const tee = new DigestTee(due);
  const pieces = Array.from({ length: 7 }, (_, i) => BYTES.subarray(i * 3, i * 3 + 3));
  return { tee, passed: await buffer(tee.pass(Readable.from(pieces))) };
};

t.test('bytes pass, and are known at their end', async t => {
  const { tee, passed } = await through();
  t.ok(passed.equals(BYTES));
  t.same(tee.result, { digest: DIGEST, size: BYTES.length });
  t.throws(() => new DigestTee().result, /have not ended/);
});

t.test('bytes that are not those that are due', async t => {
  const other = `sha256:${'0'.repeat(64)}`;
  await through({ digest: DIGEST, size: BYTES.length });
  await through({ digest: `sha512:${'0'.repeat(128)}` }); // another algorithm is not computed
  await t.rejects(through({ digest: other }), { code: 'MISMATCH', message: new RegExp(DIGEST) });
  await t.rejects(through({ size: 3 }), {
    code: 'MISMATCH',
    message: `expected 3 bytes, got ${BYTES.length}`,
  });
  await t.rejects(through({ digest: '../x' }), { code: 'UNSUPPORTED' });
});

t.test('a signal ends it', async t => {
  await t.rejects(through({ signal: AbortSignal.abort(new Error('stop')) }), { message: 'stop' });
});
