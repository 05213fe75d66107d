import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { streamOutput } from '../../../streams/io/stream-output.js';

t.test("somebody else's stream gets all bytes in order, and is ended", async t => {
  const stream = new PassThrough({ highWaterMark: 4 });
  const got = buffer(stream);
  const output = streamOutput(stream);
  await output.write([Buffer.from('abc'), Buffer.from('defghij')]);
  await output.write([]);
  await output.write([Buffer.from('k')]);
  t.equal(output.bytesWritten, 11);
  await output.finish();
  t.equal((await got).toString(), 'abcdefghijk');
});

t.test('a stream that fails, or is destroyed while it waits, fails the write', async t => {
  const full = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) });
  full.on('error', () => undefined);
  await t.rejects(streamOutput(full).write([Buffer.alloc(1)]), { message: 'disk full' });
  const stuck = new Writable({ write: () => undefined });
  const writing = streamOutput(stuck).write([Buffer.alloc(1)]);
  stuck.destroy();
  await t.rejects(writing, { message: 'output was given up' });
});

t.test('giving up destroys the stream, and nobody has to listen', async t => {
  const stream = new Writable({ destroy: (_error, done) => done(new Error('late')) });
  await streamOutput(stream).abandon();
  t.equal(stream.destroyed, true);
  await new Promise(setImmediate);
});
