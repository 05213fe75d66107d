import t from 'tap';
import { ChunkHashes, hashChunks, roomForHashes } from '../../../lib/chunk/chunk-hashes.js';
import { crc32cPlain, digest, prepareDigests, sha256 } from '../../../lib/crypto/digest.js';
import { randomBytes } from '../../support/random.js';

t.test('hashes of chunks that lie one behind another', t => {
  const sizes = [1, 4096, 0, 77];
  const bytes = randomBytes(4174, 1);
  const hashes = new ChunkHashes(hashChunks(bytes, sizes));
  let from = 0;
  sizes.forEach((size, i) => {
    const chunk = bytes.subarray(from, from + size);
    from += size;
    t.ok(hashes.digest(i).equals(sha256(chunk)));
    t.equal(hashes.checksums[i], crc32cPlain(chunk));
  });
  t.equal(hashes.digests.length, 4 * 32);
  t.end();
});

t.test('what was made is there for whoever is handed the bytes', async t => {
  await prepareDigests();
  const bytes = roomForHashes(3);
  t.equal(bytes.length, 3 * 36);
  const made = new ChunkHashes(bytes);
  const chunks = [0, 1, 5000].map(size => randomBytes(size, size));
  const digesters = ['blake3', 'sha256', 'blake3'] as const;
  for (const i of [2, 0, 1]) made.make(i, digesters[i]!, chunks[i]!);
  const read = new ChunkHashes(new Uint8Array(bytes));
  chunks.forEach((chunk, i) => {
    t.ok(read.digest(i).equals(digest(digesters[i]!, chunk)));
    t.equal(read.checksums[i], crc32cPlain(chunk));
  });
  t.equal(new ChunkHashes(roomForHashes(0)).digests.length, 0);
});
