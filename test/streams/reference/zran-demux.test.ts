import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { crc32cPlain, sha256 } from '../../../lib/crypto/digest.js';
import type { ChunkPart, ContextPart, EntryPart, LayerPart } from '../../../lib/model/parts.js';
import type { HashedChunk } from '../../../lib/model/chunk.js';
import { hashJoiner } from '../../../streams/reference/hash-joiner.js';
import {
  zranDemux,
  type RunPart,
  type ZranDemuxOptions,
} from '../../../streams/reference/zran-demux.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { collect, cutAt } from '../../support/stream/stage.js';
import { tarOf } from '../../support/tar/tar.js';

type Out = EntryPart | ChunkPart<HashedChunk> | ContextPart | LayerPart;

const CHUNK = 0x10000;

const demux = async (
  source: Buffer,
  cuts: readonly number[] = [],
  options: Partial<ZranDemuxOptions> = {},
): Promise<Out[]> => {
  const runs = await collect<unknown, RunPart | LayerPart>(
    zranDemux({ chunkSize: CHUNK, ...options }),
    cutAt(source, cuts),
    { slow: true },
  );
  return collect<unknown, Out>(hashJoiner(), runs);
};

/** Files of some MiB in all: more than the slabs of the stage hold. */
const next = numbers(1);
const files = Array.from({ length: 120 }, (_, i) => ({
  name: `f${i}`,
  content: i % 3 ? wordyBytes(next(150_000), i) : randomBytes(next(40_000), i),
}));
const source = gzipSync(tarOf(files), { level: 1 });
const small = gzipSync(tarOf(files.slice(0, 4)));

t.test('chunks have the hashes of their bytes, in a thread as without', async t => {
  for (const [bytes, due] of [
    [source, files],
    [small, files.slice(0, 4)],
  ] as const) {
    const out = await demux(bytes, [], { kept: true });
    let file = -1;
    let at = 0;
    let wrong = 0;
    for (const part of out) {
      if (part.kind === 'entry') {
        file++;
        at = 0;
      } else if (part.kind === 'chunk') {
        const size = part.chunk.uncompressedSize;
        const content = due[file]!.content.subarray(at, at + size);
        const { digest, crc32 } = part.chunk;
        const right =
          part.bytes.equals(content) &&
          digest.equals(sha256(content)) &&
          crc32 === crc32cPlain(content);
        if (!right) wrong++;
        at += size;
      }
    }
    t.equal(file, due.length - 1);
    t.equal(wrong, 0);
  }
});

t.test('all of the source is in the digest of the layer, which comes last', async t => {
  for (const bytes of [source, small, Buffer.concat([small, Buffer.alloc(100_000)])]) {
    const out = await demux(bytes, [5, 70_000]);
    t.same(out.at(-1), {
      kind: 'layer',
      size: bytes.length,
      digest: createHash('sha256').update(bytes).digest('hex'),
    });
    t.ok(out.some(part => part.kind === 'context'));
  }
});

t.test('however the source is cut; bytes are kept only where they are asked for', async t => {
  const due = await demux(source);
  t.ok(due.every(part => part.kind !== 'chunk' || part.bytes.length === 0));
  t.same(
    await demux(
      source,
      Array.from({ length: 200 }, (_, i) => i * 9973),
    ),
    due,
  );
});

t.test('chunks larger than a slab is otherwise', async t => {
  const content = wordyBytes(3_000_000, 9);
  const out = await demux(gzipSync(tarOf([{ name: 'f', content }])), [], { chunkSize: 0x200000 });
  const chunks = out.flatMap(part => (part.kind === 'chunk' ? [part.chunk] : []));
  t.same(
    chunks.map(({ uncompressedSize }) => uncompressedSize),
    [0x200000, 3_000_000 - 0x200000],
  );
  t.ok(chunks[1]!.digest.equals(sha256(content.subarray(0x200000))));
});

t.test('many entries without content', async t => {
  const links = Array.from({ length: 9000 }, (_, i) => ({ name: `l${i}`, type: '2', link: 'x' }));
  const out = await demux(gzipSync(tarOf(links)));
  t.equal(out.filter(({ kind }) => kind === 'entry').length, 9000);
  t.notOk(out.some(({ kind }) => kind === 'context'));
});

t.test('a gzip that is cut or damaged fails, with the thread running or not', async t => {
  for (const [bytes, cut] of [
    [source, source.length - 4],
    // how long it is depends on the zlib that Node comes with
    [source, source.length - 9],
    [source, source.length >> 1],
    [small, small.length - 9],
  ] as const) {
    await t.rejects(demux(bytes.subarray(0, cut)), {
      code: 'CORRUPT',
      at: { stage: 'zran-demux' },
    });
  }
  const damaged = Buffer.from(source);
  damaged[(damaged.length * 7) >> 3]! ^= 0x55;
  await t.rejects(demux(damaged), { code: 'CORRUPT' });
});
