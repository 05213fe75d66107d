import { Readable, Writable } from 'node:stream';
import t from 'tap';
import { destroyAndWait } from '../../../streams/io/destroy.js';

t.test('a stream has given back what it holds', async t => {
  for (const kind of [Readable, Writable]) {
    let closed = false;
    const stream = new kind({
      read: () => undefined,
      write: () => undefined,
      destroy(_error, done) {
        setTimeout(() => {
          closed = true;
          done(null);
        }, 20);
      },
    });
    await destroyAndWait(stream);
    t.ok(closed && stream.destroyed);
    await destroyAndWait(stream); // again
  }
});

t.test('its failure is not told again', async t => {
  const stream = new Readable({ read: () => undefined });
  const closed = destroyAndWait(stream);
  stream.destroy(new Error('late'));
  await closed;
  t.ok(stream.closed);
});
