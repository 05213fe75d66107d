import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { ChunkDict } from '../../../lib/image/chunk-dict.js';
import { crc32cPlain, digest, prepareDigests } from '../../../lib/crypto/digest.js';
import { loadImage } from '../../../lib/image/load-image.js';
import type { ChunkPart, EndPart, EntryPart } from '../../../lib/model/parts.js';
import type { NamedChunk } from '../../../lib/model/chunk.js';
import { digester } from '../../../streams/build/digester.js';
import { blobInfo, placedChunk } from '../../support/images/chunks.js';
import { buildLayer } from '../../support/images/build-layer.js';
import { partsOf } from '../../support/images/entries.js';
import { collect } from '../../support/stream/stage.js';

type Out = EntryPart | ChunkPart<NamedChunk> | EndPart;

const chunkOf = (bytes: Buffer, fileOffset: number): ChunkPart => ({
  kind: 'chunk',
  chunk: { fileOffset, uncompressedSize: bytes.length },
  bytes,
});

await prepareDigests();

for (const algorithm of ['sha256', 'blake3'] as const) {
  t.test(`${algorithm}: names, checksums and ordinals as of a plain loop`, async t => {
    // few different contents, so that many are known
    const content = fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 3 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(content, { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        async (contents, batch, slow) => {
          const all = contents.map(([n, size]) => Buffer.alloc(size * 100, `${n}`));
          const out = await collect<ChunkPart, Out>(
            await digester({ algorithm }),
            all.map((bytes, i) => chunkOf(Buffer.from(bytes), 4096 * i)),
            { batch, slow },
          );
          const ordinals = new Map<string, number>();
          const due = all.map((bytes, i) => {
            const name =
              algorithm === 'sha256'
                ? createHash('sha256').update(bytes).digest()
                : digest('blake3', bytes);
            const key = name.toString('hex');
            const known = ordinals.has(key);
            if (!known) ordinals.set(key, ordinals.size);
            return {
              kind: 'chunk',
              chunk: {
                fileOffset: 4096 * i,
                uncompressedSize: bytes.length,
                digest: name,
                crc32: crc32cPlain(bytes),
                uniqueIndex: ordinals.get(key)!,
                known,
              },
              bytes: known ? Buffer.alloc(0) : bytes,
            };
          });
          t.same(out, due);
        },
      ),
      { numRuns: 40 },
    );
  });
}

t.test('entries and ends pass', async t => {
  const parts = [...partsOf('directory', ''), ...partsOf('symlink', 's', { target: 'x' })];
  t.same(await collect(await digester({ algorithm: 'blake3' }), parts), parts);
});

t.test('two digesters do not know of one another', async t => {
  for (let i = 0; i < 2; i++) {
    const out = await collect<ChunkPart, Out>(await digester({ algorithm: 'sha256' }), [
      chunkOf(Buffer.from('x'), 0),
    ]);
    t.match(out, [{ chunk: { uniqueIndex: 0, known: false } }]);
  }
});

const named = (text: string): Buffer => createHash('sha256').update(text).digest();

t.test(
  'chunks of a dictionary are known, and have the next unique index when they are first met',
  async t => {
    const dict = new ChunkDict([blobInfo()]);
    for (const [index, text] of ['one', 'two', 'three'].entries()) {
      dict.add({
        ...placedChunk(index, { digest: named(text), uncompressedSize: text.length }),
        encrypted: false,
      });
    }
    dict.add({
      ...placedChunk(9, { digest: named('size'), uncompressedSize: 9 }),
      encrypted: false,
    });
    const texts = ['new', 'three', 'new', 'three', 'size', 'two', 'size'];
    const out = await collect<ChunkPart, Out>(
      await digester({ algorithm: 'sha256', dict }),
      texts.map(text => chunkOf(Buffer.from(text), 0)),
    );
    t.same(
      out.map(part => {
        if (part.kind !== 'chunk') return part.kind;
        const { uniqueIndex, known, dictRow } = part.chunk;
        return [uniqueIndex, known, dictRow, part.bytes.length];
      }),
      [
        [0, false, undefined, 3],
        [1, true, 2, 0],
        [0, true, undefined, 0],
        [1, true, undefined, 0],
        [2, false, undefined, 4],
        [3, true, 1, 0],
        [2, true, undefined, 0],
      ],
    );
  },
);

t.test('chunks of the image below have the first ordinals', async t => {
  const files = ['a', 'b', 'c'].flatMap(name =>
    partsOf('file', name, { content: Buffer.from(name) }),
  );
  const { bootstrap } = await buildLayer(files);
  const ask = async (algorithm: 'sha256' | 'blake3'): Promise<unknown[]> => {
    const out = await collect<ChunkPart, Out>(
      await digester({ algorithm, lower: loadImage(bootstrap) }),
      ['c', 'x', 'a'].map(text => chunkOf(Buffer.from(text), 0)),
    );
    return out.map(part => part.kind === 'chunk' && [part.chunk.uniqueIndex, part.chunk.known]);
  };
  t.same(await ask('sha256'), [
    [2, true],
    [3, false],
    [0, true],
  ]);
  t.same(
    await ask('blake3'),
    [
      [3, false],
      [4, false],
      [5, false],
    ],
    'of another algorithm none is',
  );
});
