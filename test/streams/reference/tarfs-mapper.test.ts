import fc from 'fast-check';
import t from 'tap';
import type { BlobPart, ChunkPart, EntryPart, LayerPart } from '../../../lib/model/parts.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';
import { tarfsMapper } from '../../../streams/reference/tarfs-mapper.js';
import { partsOf } from '../../support/images/entries.js';
import { collect } from '../../support/stream/stage.js';

type Out = EntryPart | ChunkPart<PlacedChunk> | BlobPart;

const layer: LayerPart = { kind: 'layer', size: 0x12345, digest: 'ab'.repeat(32) };

t.test('chunks are the file, slice after slice, and are numbered through', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(20_000), { maxLength: 8 }),
      fc.constantFrom(4096, 8192, 0x100000),
      async (sizes, chunkSize) => {
        let position = 0;
        const entries = sizes.map((size, i) => {
          const dataOffset = position + 512;
          position = Math.ceil((dataOffset + size) / 512) * 512;
          return { size, dataOffset, path: `f${i}` };
        });
        const parts = entries.flatMap(({ path, ...facts }) => partsOf('file', path, facts));
        const out = await collect<unknown, Out>(tarfsMapper({ chunkSize }), [...parts, layer]);
        let file = -1;
        let due = 0;
        let index = 0;
        for (const part of out) {
          if (part.kind === 'entry') {
            file++;
            due = 0;
          } else if (part.kind === 'chunk') {
            const { size, dataOffset } = entries[file]!;
            t.equal(part.chunk.fileOffset, due);
            t.equal(part.chunk.uncompressedSize, Math.min(chunkSize, size - due));
            t.equal(part.chunk.uncompressedOffset, dataOffset + due);
            t.equal(part.chunk.compressedOffset, dataOffset + due);
            t.equal(part.chunk.index, index++);
            due += part.chunk.uncompressedSize;
          } else if (part.kind === 'blob') {
            t.equal(part.blob?.chunkCount, index === 0 ? undefined : index);
          } else t.equal(due, entries[file]!.size, 'at the end nothing is missing');
        }
      },
    ),
    { numRuns: 30 },
  );
});

t.test('the blob is the tar: its own digest, or the id that is given', async t => {
  const file = partsOf('file', 'f', { size: 10, dataOffset: 512 });
  const blobOf = async (blobId?: string) => {
    const out = await collect<unknown, Out>(tarfsMapper({ chunkSize: 4096, blobId }), [
      ...file,
      layer,
    ]);
    return out.flatMap(part => (part.kind === 'blob' ? [part.blob] : []))[0];
  };
  t.match(await blobOf(), {
    id: layer.digest,
    compressedSize: layer.size,
    uncompressedSize: layer.size,
    features: 0x4000_0040,
    ciCompressor: 1,
    chunkCount: 1,
  });
  t.match(await blobOf('mine'), { id: 'mine' });
});

t.test('a sparse file is refused by its path, unless it has no bytes', async t => {
  const [sparse, end] = partsOf('file', 'holes', { size: 10 });
  await t.rejects(collect(tarfsMapper({ chunkSize: 4096 }), [sparse, end, layer]), {
    code: 'UNSUPPORTED',
    at: { path: 'holes' },
  });
  const empty = partsOf('file', 'empty');
  const out = await collect<unknown, Out>(tarfsMapper({ chunkSize: 4096 }), [...empty, layer]);
  t.match(out.at(-1), { kind: 'blob', blob: undefined });
});
