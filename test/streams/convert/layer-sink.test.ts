import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import t from 'tap';
import type { ArtifactPart } from '../../../streams/build/artifact-writer.js';
import { BlobUnreadError, LayerSink } from '../../../streams/convert/layer-sink.js';

const section = (artifact: 'blob' | 'bootstrap' | 'cache-meta', text: string): ArtifactPart => ({
  kind: 'section',
  artifact,
  bytes: Buffer.from(text),
});

t.test('the blob is passed on, what else is made is kept', async t => {
  const sink = new LayerSink();
  const read = buffer(sink.blob());
  sink.write([section('blob', 'one '), section('cache-meta', 'm'), section('bootstrap', 'b')]);
  sink.write([section('bootstrap', 'oot')]);
  sink.write([section('blob', ''), section('blob', 'two')]);
  sink.end();
  t.equal((await read).toString(), 'one two');
  t.equal(Buffer.concat(sink.bootstrap).toString(), 'boot');
  t.equal(Buffer.concat(sink.meta).toString(), 'm');
  t.equal(sink.blobSize, 7);
  t.equal(sink.last?.toString(), 'two');
});

t.test('nothing is taken that nobody reads', async t => {
  const sink = new LayerSink();
  let taken = 0;
  for (let i = 0; i < 10; i++) sink.write([section('blob', 'x')], () => taken++);
  await new Promise(resolve => setImmediate(resolve));
  t.equal(taken, 0);
  sink.end();
  t.equal((await buffer(sink.blob())).length, 10);
  t.equal(taken, 10);
});

t.test('a reader that has enough ends the build', async t => {
  const sink = new LayerSink();
  sink.write([section('blob', 'x')]);
  const ended = finished(sink);
  for await (const bytes of sink.blob()) {
    t.equal(bytes.toString(), 'x');
    break;
  }
  await t.rejects(ended, new BlobUnreadError());
});

t.test('a build that fails ends the reading', async t => {
  const sink = new LayerSink();
  const read = buffer(sink.blob());
  sink.on('error', () => undefined);
  sink.destroy(new Error('a bad chunk'));
  await t.rejects(read, { message: 'a bad chunk' });
});
