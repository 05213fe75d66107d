import t from 'tap';
import { ChunkHashes } from '../../../lib/chunk/chunk-hashes.js';
import { compress, compressBound, prepareCompressors } from '../../../lib/compress/compressors.js';
import { crc32cPlain, digest, prepareDigests } from '../../../lib/crypto/digest.js';
import { DigestFilter } from '../../../lib/chunk/digest-filter.js';
import { LEFT, compressRun, type RunMemory } from '../../../lib/chunk/compress-run.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

await prepareCompressors();
await prepareDigests();

const chunks = [wordyBytes(3000, 1), randomBytes(500, 2), wordyBytes(9000, 3), Buffer.alloc(0)];
const sizes = chunks.map(({ length }) => length);

const memoryOf = (): RunMemory => {
  const memory = {
    plain: new SharedArrayBuffer(0x4000),
    packed: new SharedArrayBuffer(compressBound(0x4000)),
  };
  Buffer.concat(chunks).copy(Buffer.from(memory.plain));
  return memory;
};

for (const compressor of ['zstd', 'lz4_block'] as const) {
  const due = chunks.map(chunk => compress(compressor, chunk) ?? Buffer.alloc(0));

  t.test(`${compressor}: stored sizes, and what is stored one behind another`, t => {
    const memory = memoryOf();
    const { stored, hashes } = compressRun(memory, sizes, { compressor });
    t.same(
      stored,
      due.map(({ length }) => length),
    );
    t.equal(hashes, undefined);
    const all = Buffer.concat(due);
    t.ok(Buffer.from(memory.packed, 0, all.length).equals(all));
    t.end();
  });

  for (const digester of ['blake3', 'sha256'] as const) {
    t.test(`${compressor}, ${digester}: hashes, and what seems to be known is left`, t => {
      const memory = memoryOf();
      const seen = DigestFilter.for(0);
      seen.add(digest(digester, chunks[0]!));
      const made = compressRun(memory, sizes, { compressor, hashing: { digester, seen } });
      t.same(made.stored, [LEFT, 0, due[2]!.length, 0]);
      t.ok(Buffer.from(memory.packed, 0, due[2]!.length).equals(due[2]!));
      const hashes = new ChunkHashes(made.hashes!);
      for (const [i, chunk] of chunks.entries()) {
        t.ok(hashes.digest(i).equals(digest(digester, chunk)));
        t.equal(hashes.checksums[i], crc32cPlain(chunk));
      }
      t.end();
    });
  }
}
