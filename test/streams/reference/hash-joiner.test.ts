import t from 'tap';
import { hashChunks } from '../../../lib/chunk/chunk-hashes.js';
import { crc32cPlain, sha256 } from '../../../lib/crypto/digest.js';
import type { ChunkPart } from '../../../lib/model/parts.js';
import type { HashedChunk, LayerChunk } from '../../../lib/model/chunk.js';
import { hashJoiner } from '../../../streams/reference/hash-joiner.js';
import type { RunPart } from '../../../streams/reference/zran-demux.js';
import { entryOf } from '../../support/images/entries.js';
import { randomBytes } from '../../support/random.js';
import { collect } from '../../support/stream/stage.js';

t.test('every chunk of a run has its own hashes; all else passes in its order', async t => {
  const sizes = [5, 700, 1, 4096];
  const bytes = randomBytes(4802, 1);
  const chunks = sizes.map((size, i): ChunkPart<LayerChunk> => ({
    kind: 'chunk',
    chunk: {
      fileOffset: i,
      uncompressedSize: size,
      zran: { inOffset: i, inSize: 2, context: 3, offset: 4 },
    },
    bytes: Buffer.from([i]),
  }));
  const entry = { kind: 'entry', entry: entryOf('file', 'f') } as const;
  const end = { kind: 'end' } as const;
  const layer = { kind: 'layer', size: 9, digest: 'd' } as const;
  const runs: RunPart[] = [
    {
      kind: 'run',
      parts: [entry, chunks[0]!, chunks[1]!, end],
      hashes: hashChunks(bytes.subarray(0, 705), sizes.slice(0, 2)),
    },
    { kind: 'run', parts: [], hashes: hashChunks(Buffer.alloc(0), []) },
    {
      kind: 'run',
      parts: [chunks[2]!, end, chunks[3]!],
      hashes: hashChunks(bytes.subarray(705), sizes.slice(2)),
    },
  ];
  const out = await collect<unknown, ChunkPart<HashedChunk>>(hashJoiner(), [...runs, layer]);
  t.same(
    out.map(({ kind }) => kind),
    ['entry', 'chunk', 'chunk', 'end', 'chunk', 'end', 'chunk', 'layer'],
  );
  let from = 0;
  out
    .filter(({ kind }) => kind === 'chunk')
    .forEach(({ chunk, bytes: kept }, i) => {
      const due = bytes.subarray(from, from + sizes[i]!);
      t.ok(chunk.digest.equals(sha256(due)));
      t.equal(chunk.crc32, crc32cPlain(due));
      t.match(chunk, chunks[i]!.chunk);
      t.same(kept, [i]);
      from += sizes[i]!;
    });
});
