import t from 'tap';
import { ChunkHashes, hashChunks, roomForHashes } from '../../lib/chunk-hashes.js';
import { crc32cPlain, sha256 } from '../../lib/digest.js';
import { randomBytes } from '../support/random.js';

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

t.test('what was set is there for whoever is handed the bytes', t => {
  const bytes = roomForHashes(3);
  t.equal(bytes.length, 3 * 36);
  const made = new ChunkHashes(bytes);
  const digests = [1, 2, 3].map(n => randomBytes(32, n));
  digests.forEach((digest, i) => made.set(i, digest, 0xffff_fff0 + i));
  const read = new ChunkHashes(new Uint8Array(bytes));
  digests.forEach((digest, i) => {
    t.ok(read.digest(i).equals(digest));
    t.equal(read.checksums[i], 0xffff_fff0 + i);
  });
  t.equal(new ChunkHashes(roomForHashes(0)).digests.length, 0);
  t.end();
});
