import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Artifact } from '../../../lib/model/blob.js';
import {
  openArtifacts,
  type ArtifactPart,
  type ArtifactWriter,
} from '../../../streams/build/artifact-writer.js';
import {
  closed,
  makeFifo,
  openBelow,
  shell,
  temporaryDirectory,
} from '../../support/process/fs.js';

const section = (artifact: Artifact, bytes: Buffer | string): ArtifactPart => ({
  kind: 'section',
  artifact,
  bytes: Buffer.from(bytes),
});
const finish = (artifact: Artifact, name?: string): ArtifactPart => ({
  kind: 'finish',
  artifact,
  name,
});

const write = async (writer: ArtifactWriter, ...batches: ArtifactPart[][]): Promise<void> => {
  try {
    await pipeline(Readable.from(batches), writer);
  } finally {
    await closed(writer);
  }
};

const places = (t: Test) => {
  const directory = temporaryDirectory(t);
  return { directory, at: (name: string) => path.join(directory, name) };
};

t.test('sections go to their artifacts in order, however they are mixed and batched', async t => {
  const part = fc.tuple(
    fc.constantFrom<Artifact>('blob', 'bootstrap', 'external'),
    fc.uint8Array({ maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part), fc.integer({ min: 1, max: 9 }), async (parts, size) => {
      const { directory, at } = places(t);
      const writer = await openArtifacts({
        blob: { path: at('blob') },
        bootstrap: { directory },
        external: { discard: true },
      });
      const all = [
        ...parts.map(([artifact, bytes]) => section(artifact, Buffer.from(bytes))),
        finish('blob', 'not used'),
        finish('bootstrap', 'boot'),
      ];
      const batches: ArtifactPart[][] = [];
      for (let i = 0; i < all.length; i += size) batches.push(all.slice(i, i + size));
      await write(writer, ...batches);
      const due = (artifact: Artifact): Buffer =>
        Buffer.concat(parts.flatMap(([of, bytes]) => (of === artifact ? [bytes] : [])));
      t.same(fs.readFileSync(at('blob')), due('blob'));
      t.same(fs.readFileSync(at('boot')), due('bootstrap'));
      t.same(fs.readdirSync(directory).sort(), ['blob', 'boot']);
      t.same(writer.paths, { blob: at('blob'), bootstrap: at('boot') });
      t.equal(
        writer.bytesWritten,
        parts.reduce((sum, [, bytes]) => sum + bytes.length, 0),
      );
    }),
    { numRuns: 40 },
  );
});

t.test('what was built is kept for the caller', async t => {
  const writer = await openArtifacts({});
  const image = { blobs: ['b'], blobSize: 1, entryCount: 2 };
  await write(writer, [
    { kind: 'image', image: { ...image, blobs: [] } },
    { kind: 'image', image },
  ]);
  t.equal(writer.image, image);
});

t.test('without data a named file is empty, and a directory stays so', async t => {
  const { directory, at } = places(t);
  const writer = await openArtifacts({
    blob: { directory },
    external: { directory },
    bootstrap: { path: at('boot') },
  });
  await write(writer, [finish('external')]);
  t.same(fs.readdirSync(directory), ['boot']);
  t.equal(fs.statSync(at('boot')).size, 0);
  t.same(writer.paths, { bootstrap: at('boot') });
});

t.test('no name is given before all parts have come', async t => {
  const { directory, at } = places(t);
  fs.writeFileSync(at('blob'), 'before');
  const writer = await openArtifacts({ blob: { path: at('blob') }, bootstrap: { directory } });
  const parts = async function* () {
    yield [section('blob', 'new'), finish('blob'), section('bootstrap', 'b')];
    yield [finish('bootstrap', 'boot')];
    await new Promise(setImmediate);
    throw new Error('late');
  };
  await t.rejects(pipeline(Readable.from(parts()), writer), { message: 'late' });
  await closed(writer);
  t.same(fs.readdirSync(directory), ['blob']);
  t.equal(fs.readFileSync(at('blob'), 'utf8'), 'before');
  t.same(writer.paths, {});
  t.same(openBelow(directory), []);
});

t.test('a writer that is given up leaves nothing', async t => {
  const { directory, at } = places(t);
  const writer = await openArtifacts({ blob: { path: at('blob') }, bootstrap: { directory } });
  writer.write([section('blob', randomBytes(100_000))]);
  writer.destroy();
  await closed(writer);
  t.same(fs.readdirSync(directory), []);
  t.same(openBelow(directory), []);
});

t.test('FIFOs: both open before anything is written, in whatever order the peer opens', async t => {
  const { directory, at } = places(t);
  makeFifo(at('blob'), at('boot'));
  // the peer blocks on the second one first
  const peer = shell('exec 3< "$2"; sleep 0.05; cat "$1"; cat <&3', at('blob'), at('boot'));
  const writer = await openArtifacts({
    blob: { path: at('blob') },
    bootstrap: { path: at('boot') },
  });
  await write(writer, [section('blob', 'one'), section('bootstrap', 'two'), finish('blob')]);
  t.equal((await peer).toString(), 'onetwo');
  t.same(openBelow(directory), []);
});

t.test('failures carry their code and the artifact', async t => {
  const { directory, at } = places(t);
  const writer = await openArtifacts({
    blob: { path: '/dev/full' },
    bootstrap: { path: at('boot') },
  });
  await t.rejects(write(writer, [section('bootstrap', 'x'), section('blob', 'x')]), {
    code: 'ENOSPC',
    at: { stage: 'artifact-writer', artifact: 'blob' },
  });
  t.same(fs.readdirSync(directory), []);

  makeFifo(at('fifo'));
  const reader = shell('head -c 1 "$1"', at('fifo'));
  const piped = await openArtifacts({ blob: { path: at('fifo') } });
  const batches = Array.from({ length: 50 }, () => [section('blob', Buffer.alloc(100_000))]);
  await t.rejects(write(piped, ...batches), { code: 'EPIPE', at: { artifact: 'blob' } });
  await reader;
  t.same(openBelow(directory), []);
});

t.test('when one target cannot be opened, none is waited for and none stays', async t => {
  const { directory, at } = places(t);
  makeFifo(at('fifo'));
  await t.rejects(
    openArtifacts({
      blob: { path: at('fifo') },
      external: { directory },
      bootstrap: { path: at('none/boot') },
    }),
    { code: 'ENOENT', at: { stage: 'artifact-writer', artifact: 'bootstrap' } },
  );
  t.same(fs.readdirSync(directory), ['fifo']);

  const stop = new AbortController();
  const opening = openArtifacts({ blob: { path: at('fifo') } }, { signal: stop.signal });
  stop.abort(new Error('stopped'));
  await t.rejects(opening, { message: 'stopped' });
  t.same(openBelow(directory), []);
});

t.test('a name that cannot be given leaves no other file', async t => {
  const { directory, at } = places(t);
  const writer = await openArtifacts({ blob: { directory }, bootstrap: { path: at('boot') } });
  await t.rejects(
    write(writer, [section('bootstrap', 'b'), finish('blob', '../x'), finish('bootstrap')]),
    { code: 'USAGE', at: { artifact: 'blob' } },
  );
  t.same(fs.readdirSync(directory), []);
});

t.test('our own mistakes are told', async t => {
  const { at } = places(t);
  await t.rejects(write(await openArtifacts({}), [section('blob', 'x')]), /no target for blob/);
  const writer = await openArtifacts({ blob: { path: at('blob') } });
  await t.rejects(write(writer, [finish('blob'), section('blob', 'x')]), /blob was finished/);
});
