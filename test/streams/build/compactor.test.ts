import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import { ChunkTable } from '../../../lib/chunk/chunk-table.js';
import { COMPRESSORS } from '../../../lib/layout/compressors.js';
import type { BlobInfo } from '../../../lib/model/blob.js';
import type { FinishPart, SectionPart } from '../../../lib/model/parts.js';
import type { Batch } from '../../../streams/batch.js';
import { compactor } from '../../../streams/build/compactor.js';
import { placedChunk } from '../../support/images/chunks.js';
import { wordyBytes } from '../../support/random.js';

const CONTENTS = [wordyBytes(5000, 1), wordyBytes(4096, 2), wordyBytes(10, 3)];

/** A blob of the chunks, in that order; what is said of it, and its bytes. */
const made = async (fsVersion: 5 | 6, order: readonly number[]) => {
  await prepareCompressors();
  const chunks = new ChunkTable({ named: true });
  CONTENTS.forEach((content, i) => {
    const size = content.length;
    chunks.add(placedChunk(i, { uncompressedSize: size, digest: sha256(content) }), 0);
  });
  let blob: BlobInfo | undefined;
  const stream = compactor({
    chunks,
    rows: Uint32Array.from(order),
    read: async row => ({ bytes: CONTENTS[row]!, compressed: false }),
    like: { compressor: COMPRESSORS.none, digester: 1, chunkSize: 0x100000 },
    fsVersion,
    aligned: true,
    checksums: false,
    made: info => (blob = info),
  });
  const pieces: Buffer[] = [];
  let name: string | undefined;
  for await (const batch of stream as AsyncIterable<Batch<SectionPart | FinishPart>>) {
    for (const part of batch) {
      if (part.kind === 'section') pieces.push(part.bytes);
      else name = part.name;
    }
  }
  return { bytes: Buffer.concat(pieces), blob: blob!, name };
};

t.test(
  'chunks lie one after another in the order asked for; the blob is named by itself',
  async t => {
    for (const version of [5, 6] as const) {
      const { bytes, blob, name } = await made(version, [2, 0]);
      const data = Buffer.concat([CONTENTS[2]!, CONTENTS[0]!]);
      t.ok(bytes.subarray(0, data.length).equals(data));
      t.equal(blob.chunkCount, 2);
      t.equal(blob.id, sha256(bytes).toString('hex'));
      t.equal(name, blob.id);
      t.equal(blob.compressedSize, version === 5 ? bytes.length : blob.compressedSize);
      t.equal(bytes.length > data.length, version === 6, 'v6 has a table behind the data');
    }
  },
);

t.test('no chunks make no table', async t => {
  const { bytes, blob } = await made(6, []);
  t.equal(bytes.length, 0);
  t.equal(blob.chunkCount, 0);
});
