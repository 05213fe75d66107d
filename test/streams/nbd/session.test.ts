import { duplexPair } from 'node:stream';
import t from 'tap';
import { serveNbd } from '../../../streams/nbd/session.js';

const device = {
  size: 8192,
  read: async (_: number, size: number) => Buffer.alloc(size, 7),
  extents: (_: number, size: number) => [{ size, hole: false }],
};

t.test('the server speaks first; a client that answers nonsense is told so and left', async t => {
  const [near, far] = duplexPair();
  const served = serveNbd(near, { device, blockSize: 4096, onReadError: () => undefined });
  served.catch(() => undefined);
  const greeting = await new Promise<Buffer>(resolve => far.once('data', resolve));
  t.equal(greeting.subarray(0, 16).toString('latin1'), 'NBDMAGICIHAVEOPT');
  far.write(Buffer.from('00000003' + '6e6f6e73656e7365'.repeat(3), 'hex'));
  await t.rejects(served, { name: 'RafsError' });
});

t.test('a client that goes away before it has said anything ends the session', async t => {
  const [near, far] = duplexPair();
  const served = serveNbd(near, { device, blockSize: 4096, onReadError: () => undefined });
  far.resume().end();
  await Promise.allSettled([served]);
  t.pass('it has ended');
  t.equal(near.destroyed || near.readableEnded, true);
});
