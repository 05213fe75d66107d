import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { byteDuplex, type ByteWork } from '../../../streams/io/byte-stream.js';

/** Doubles every byte, and counts them. */
const doubled: ByteWork<number> = async ({ input, output }) => {
  let count = 0;
  for await (const bytes of input) {
    count += bytes.length;
    const twice = Buffer.concat([bytes, bytes]);
    await new Promise<void>((resolve, reject) =>
      output.write(twice, error => (error ? reject(error) : resolve())),
    );
  }
  return count;
};

t.test('bytes go in, other bytes come out, and the result comes with the end', async t => {
  const stream = byteDuplex(doubled, undefined);
  const events: number[] = [];
  stream.on('result', result => events.push(result));
  stream.write('ab');
  stream.end('c');
  t.equal(await text(stream), 'ababcc');
  t.equal(await stream.result, 3);
  t.same(events, [3]);
});

t.test('nothing is taken faster than it is read', async t => {
  const stream = byteDuplex(doubled, undefined);
  let taken = 0;
  for (let i = 0; i < 50; i++) stream.write(Buffer.alloc(0x10000), () => taken++);
  for (let i = 0; i < 50; i++) await turn();
  t.ok(taken < 10, `${taken} of 50 writes are taken before anything is read`);
  stream.destroy();
  await t.rejects(stream.result);
});

t.test('work that fails, a signal and destroy end the stream and the result', async t => {
  const failing = byteDuplex(async () => Promise.reject(new Error('bad bytes')), undefined);
  failing.on('error', () => undefined);
  await t.rejects(failing.result, { message: 'bad bytes' });
  const stop = new AbortController();
  const stopped = byteDuplex(doubled, stop.signal);
  stopped.on('error', () => undefined);
  stopped.write('x');
  stop.abort(new Error('enough'));
  await t.rejects(stopped.result, { cause: { message: 'enough' } });
  await turn();
  t.equal(stopped.destroyed, true);
});
