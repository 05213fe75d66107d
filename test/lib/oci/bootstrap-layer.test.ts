/** The tar of a bootstrap layer, as another reader sees it. */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import tarStream from 'tar-stream';
import t from 'tap';
import { bootstrapTar } from '../../../lib/oci/bootstrap-layer.js';

t.test('a directory, the bootstrap, and the tables of blobs that have some', async t => {
  const bootstrap = { size: 700, pieces: [Buffer.alloc(300, 'a'), Buffer.alloc(400, 'b')] };
  const id = 'f'.repeat(64);
  const metas = [
    { id, bytes: [Buffer.from('table')] },
    { id: 'e'.repeat(64), bytes: [] },
  ];
  const tar = Buffer.concat([...bootstrapTar(bootstrap, metas)]);
  t.equal(tar.length % 512, 0);
  t.ok(tar.subarray(-1024).equals(Buffer.alloc(1024)));
  const found: [string, string, number, number][] = [];
  for await (const entry of Readable.from([tar]).pipe(tarStream.extract())) {
    const { name, type, mode, mtime } = entry.header;
    const content = await buffer(entry);
    t.equal(mtime?.getTime(), 0);
    found.push([name, type ?? '', mode ?? 0, content.length]);
  }
  t.same(found, [
    ['image', 'directory', 0o755, 0],
    ['image/image.boot', 'file', 0o444, 700],
    [`image/${id}.blob.meta`, 'file', 0o444, 5],
  ]);
});
