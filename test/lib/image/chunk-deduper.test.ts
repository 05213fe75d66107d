import t from 'tap';
import { ChunkDict } from '../../../lib/image/chunk-dict.js';
import { ChunkDeduper } from '../../../lib/image/chunk-deduper.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import type { HashedChunk } from '../../../lib/model/chunk.js';
import { blobInfo, placedChunk } from '../../support/images/chunks.js';

const chunkOf = (text: string, uncompressedSize = text.length): HashedChunk => ({
  fileOffset: 0,
  uncompressedSize,
  digest: sha256(Buffer.from(text)),
  crc32: 0,
});

t.test('a chunk is named in place, by first use', t => {
  const names = new ChunkDeduper({ algorithm: 'sha256' });
  const first = chunkOf('a');
  t.equal(names.name(first), first);
  const given = ['a', 'b', 'a', 'c'].map(text => {
    const { uniqueIndex, known } = names.name(chunkOf(text));
    return [uniqueIndex, known];
  });
  t.same(given, [
    [0, true],
    [1, false],
    [0, true],
    [2, false],
  ]);
  const { uniqueIndex, known } = names.name(chunkOf('a', 2));
  t.same([uniqueIndex, known], [3, false], 'of another size it is another chunk');
  t.end();
});

t.test('tells which digests there are before', t => {
  const dict = new ChunkDict([blobInfo()]);
  for (const [index, text] of ['one', 'two'].entries()) {
    const { digest } = chunkOf(text);
    dict.add({ ...placedChunk(index, { digest, uncompressedSize: 3 }), encrypted: false });
  }
  const names = new ChunkDeduper({ algorithm: 'sha256', dict });
  const { count, digests } = names.before;
  t.equal(count, 2);
  t.same(
    [...digests].map(digest => digest.toString('hex')),
    ['one', 'two'].map(text => chunkOf(text).digest.toString('hex')),
  );
  const { known, dictRow } = names.name(chunkOf('two'));
  t.same([known, dictRow], [true, 1]);
  t.same(new ChunkDeduper({ algorithm: 'sha256' }).before.count, 0);
  t.end();
});

t.test('after clear, nothing is known', t => {
  const names = new ChunkDeduper({ algorithm: 'sha256' });
  names.name(chunkOf('a'));
  names.clear();
  t.equal(names.name(chunkOf('a')).known, false);
  t.end();
});
