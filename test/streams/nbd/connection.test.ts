import { duplexPair } from 'node:stream';
import t from 'tap';
import { NbdConnection } from '../../../streams/nbd/connection.js';

t.test('bytes are taken in sizes of their own, whatever they come in', async t => {
  const [near, far] = duplexPair();
  const client = new NbdConnection(near);
  far.write('abc');
  far.write('defghij');
  t.equal((await client.take(2))!.toString(), 'ab');
  t.equal((await client.take(5))!.toString(), 'cdefg');
  t.equal(await client.skip(2), true);
  far.end();
  t.equal(await client.take(2), undefined, 'only one is left');
  t.equal(await client.skip(2), false);
});

t.test('a write waits for a slow client, and ends when the client goes away', async t => {
  const [near, far] = duplexPair({ highWaterMark: 10 });
  const client = new NbdConnection(near);
  let written = false;
  const writing = client.write(Buffer.alloc(50), Buffer.alloc(50)).then(() => (written = true));
  await new Promise(setImmediate);
  t.equal(written, false);
  far.resume();
  await writing;
  t.equal(client.gone, false);
  far.pause();
  const stuck = client.write(Buffer.alloc(100));
  client.destroy();
  await stuck;
  t.equal(client.gone, true);
  t.equal(await client.take(1), undefined);
});
