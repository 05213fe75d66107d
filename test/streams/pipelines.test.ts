import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { RafsError } from '../../lib/errors.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import type { BytesPart } from '../../lib/model/parts.js';
import type { Artifact } from '../../lib/model/blob.js';
import type { ArtifactPart } from '../../streams/build/artifact-writer.js';
import { dirWalk } from '../../streams/layer/dir-walk.js';
import { meter } from '../../streams/build/meter.js';
import {
  nativeFromDirectory,
  nativeFromTar,
  run,
  type NativeOptions,
} from '../../streams/pipelines.js';
import { openSource } from '../../streams/io/source.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { cutAt } from '../support/stream/stage.js';
import { layerTar } from '../support/tar/layers.js';
import { randomBytes, wordyBytes } from '../support/random.js';
import { tarOf } from '../support/tar/tar.js';
import { makeFrame } from '../support/tar/zstd.js';

const OPTIONS: NativeOptions = {
  compressor: 'zstd',
  digester: 'blake3',
  chunkSize: 0x100000,
  inlineMeta: true,
  blobToc: true,
  explicitUidGid: true,
};

/** Keeps what a build would write. */
class Kept extends Writable {
  readonly bytes = new Map<Artifact, Buffer[]>();
  readonly names = new Map<Artifact, string | undefined>();
  entryCount: number | undefined;
  /** told of what was kept, as by a sink that has written it */
  written: BufferPool | undefined;

  constructor() {
    super({ objectMode: true, highWaterMark: 1 });
  }

  override _write(batch: readonly ArtifactPart[], _encoding: string, done: () => void): void {
    for (const part of batch) {
      if (part.kind === 'section') {
        const bytes = this.bytes.get(part.artifact) ?? [];
        this.bytes.set(part.artifact, bytes);
        bytes.push(Buffer.from(part.bytes));
        this.written?.releaseBefore(part.bytes);
      } else if (part.kind === 'finish') this.names.set(part.artifact, part.name);
      else this.entryCount = part.image.entryCount;
    }
    setImmediate(done);
  }

  digest(artifact: Artifact): string {
    const bytes = Buffer.concat(this.bytes.get(artifact) ?? []);
    return createHash('sha256').update(bytes).digest('hex');
  }
}

/** Parts of a source, one a batch. */
const source = (bytes: Buffer, cuts: readonly number[] = []): Readable =>
  Readable.from(
    cutAt(bytes, cuts).map((part: BytesPart) => [part]),
    { objectMode: true, highWaterMark: 1 },
  );

const built = async (
  bytes: Buffer,
  options: Partial<Parameters<typeof nativeFromTar>[0]> = {},
  cuts: readonly number[] = [],
): Promise<Kept> => {
  const kept = new Kept();
  const stages = await nativeFromTar({ ...OPTIONS, compression: 'none', ...options });
  await run(source(bytes, cuts), stages, kept);
  return kept;
};

t.test('one blob, however the tar is compressed or cut', async t => {
  const tar = layerTar('kinds');
  const due = (await built(tar)).digest('blob');
  const forms = [
    ['none', tar],
    ['gzip', gzipSync(tar)],
    ['zstd', makeFrame?.(tar)],
  ] as const;
  for (const [compression, bytes] of forms) {
    if (!bytes) t.comment('left out: no zstd here');
    else {
      for (const cuts of [[], [1, 2, 600, 9999], Array.from({ length: 50 }, (_, i) => 401 * i)]) {
        const kept = await built(bytes, { compression }, cuts);
        t.equal(kept.digest('blob'), due, `${compression}, ${cuts.length} cuts`);
      }
    }
  }
});

t.test('inlined or apart', async t => {
  const tar = layerTar('kinds');
  const inlined = await built(tar);
  t.same([...inlined.bytes.keys()], ['blob']);
  t.ok(inlined.entryCount! > 20);
  const apart = await built(tar, { inlineMeta: false, blobToc: false });
  t.same([...apart.bytes.keys()].sort(), ['blob', 'bootstrap']);
  t.equal(apart.names.get('blob'), apart.digest('blob'), 'the name of a blob is its digest');
  t.equal(apart.entryCount, inlined.entryCount);
});

t.test('entries are counted where they pass', async t => {
  const counters = { files: 0 };
  const { entryCount } = await built(layerTar('sizes'), { meter: meter(counters) });
  t.ok(counters.files > 0);
  t.ok(entryCount! >= counters.files, 'the image has the root, and parents that were not there');
});

t.test('from entries', async t => {
  const kept = new Kept();
  const entry = {
    ...{ path: 'file', type: 'file', mode: 0o644, uid: 1, gid: 2, mtime: 3, mtimeNsec: 0 },
    ...{ size: 7, rdev: 0 },
  };
  const parts = [
    { kind: 'entry', entry },
    { kind: 'data', bytes: Buffer.from('con') },
    { kind: 'data', bytes: Buffer.from('tent') },
    { kind: 'end' },
  ];
  const entries = Readable.from([parts], { objectMode: true });
  await run(entries, await nativeFromDirectory(OPTIONS), kept);
  const tar = tarOf([{ name: 'file', content: 'content', uid: 1, gid: 2, mtime: 3 }]);
  t.equal(kept.digest('blob'), (await built(tar)).digest('blob'), 'as from a tar of them');
});

/** Files of all sizes, some twice, in several times the memory that a pool goes round with. */
const manyFiles = (): { name: string; content: Buffer }[] =>
  Array.from({ length: 400 }, (_, i) => {
    const size = i % 40 === 0 ? 0x180000 : (i * 7919) % 90_000;
    const content = i % 3 === 0 ? randomBytes(size, i) : wordyBytes(size, i % 100);
    return { name: `f${String(i).padStart(3, '0')}`, content };
  });

t.test('buffers are used again only when nobody looks at them any more', async t => {
  const files = manyFiles();
  const directory = temporaryDirectory(t);
  const tree = path.join(directory, 'tree');
  fs.mkdirSync(tree);
  for (const { name, content } of files) fs.writeFileSync(path.join(tree, name), content);
  const tar = path.join(directory, 'tar');
  fs.writeFileSync(tar, tarOf(files));
  for (const compressor of ['none', 'lz4_block'] as const) {
    for (const batchSize of [0, 0x10000, 0x100000]) {
      const options: NativeOptions = { ...OPTIONS, compressor, batchSize };
      const name = `${compressor}, batches of ${batchSize}`;

      const fromTar = async (recycling: boolean): Promise<string> => {
        const input = openSource(tar);
        const kept = new Kept();
        const stages = await nativeFromTar({
          ...options,
          compression: 'none',
          ...(recycling ? { input, sink: kept } : { workers: 0 }),
        });
        await run(input, stages, kept);
        return kept.digest('blob');
      };
      t.equal(await fromTar(true), await fromTar(false), `${name}, a tar`);

      const fromDirectory = async (recycling: boolean): Promise<string> => {
        const walk = dirWalk(tree);
        const kept = new Kept();
        const stages = await nativeFromDirectory({
          ...options,
          ...(recycling ? { walk, sink: kept } : { workers: 0 }),
        });
        await run(walk, stages, kept);
        return kept.digest('blob');
      };
      t.equal(await fromDirectory(true), await fromDirectory(false), `${name}, a directory`);
    }
  }
});

/** Waits until streams are closed: none is left open by a failure. */
const allClosed = async (t: Test, streams: readonly (Readable | Writable)[]): Promise<void> => {
  for (const stream of streams) {
    if (!stream.closed) await new Promise(resolve => stream.once('close', resolve));
  }
  t.ok(
    streams.every(stream => stream.destroyed),
    'every stream is destroyed',
  );
};

t.test('a failure has a code and a place, and closes everything', async t => {
  const tar = Buffer.concat([
    tarOf([{ name: 'a', content: randomBytes(0x300000, 1) }], false),
    Buffer.alloc(512, 'x'),
  ]);
  for (const workers of [0, 2]) {
    const kept = new Kept();
    const input = source(tar, [0x100000, 0x200000]);
    const stages = await nativeFromTar({ ...OPTIONS, compression: 'none', workers });
    const failure = run(input, stages, kept).then(
      () => undefined,
      (error: unknown) => error,
    );
    const error = await failure;
    t.ok(error instanceof RafsError, `${workers} threads`);
    t.match(error, { code: 'CORRUPT', at: { stage: 'tar-demux', offset: tar.length - 512 } });
    await allClosed(t, [input, stages, kept]);
  }
});

t.test('a source and a sink that fail', async t => {
  const tar = tarOf([{ name: 'a', content: randomBytes(0x200000, 2) }]);
  const broken = Readable.from(
    (async function* () {
      yield cutAt(tar.subarray(0, 0x100000), []);
      throw Object.assign(new Error('read failed'), { code: 'EIO' });
    })(),
    { objectMode: true },
  );
  const kept = new Kept();
  const stages = await nativeFromTar({ ...OPTIONS, compression: 'none' });
  await t.rejects(run(broken, stages, kept), { code: 'EIO' }, 'as the system said it');
  await allClosed(t, [broken, stages, kept]);

  const full = new Writable({
    objectMode: true,
    write: (_batch, _encoding, done) =>
      done(Object.assign(new Error('write failed'), { code: 'ENOSPC' })),
  });
  const input = source(tar, [0x100000]);
  const others = await nativeFromTar({ ...OPTIONS, compression: 'none' });
  await t.rejects(run(input, others, full), { code: 'ENOSPC' });
  await allClosed(t, [input, others, full]);
});

t.test('an abort', async t => {
  const input = new Readable({ objectMode: true, read: () => undefined }); // never has anything
  const stages = await nativeFromTar({ ...OPTIONS, compression: 'none' });
  const kept = new Kept();
  const stop = new AbortController();
  const running = run(input, stages, kept, stop.signal);
  setImmediate(() => stop.abort(new Error('stopped')));
  await t.rejects(running, { name: 'AbortError' });
  await allClosed(t, [input, stages, kept]);
});
