import fc from 'fast-check';
import t from 'tap';
import type { BlobRecord } from '../../../../lib/model/stored.js';
import { ChunkIndex } from '../../../../lib/bootstrap/v6/chunk-index.js';
import { ChunkRecord } from '../../../../lib/layout/rafs.js';
import { failure } from '../../../support/images/golden.js';

const BLOBS = ['a', 'b', 'c'].map(id => ({ id }) as BlobRecord); // only the id is looked at

const tableOf = (keys: readonly (readonly [blobIndex: number, index: number])[]): Buffer =>
  Buffer.concat(
    keys.map(([blobIndex, index]) =>
      ChunkRecord.encode({
        digest: Buffer.alloc(32),
        blobIndex,
        flags: 0,
        compressedSize: 0,
        uncompressedSize: 0,
        compressedOffset: 0,
        uncompressedOffset: 0,
        fileOffset: 0,
        index,
        crc32: 0,
      }),
    ),
  );

const open = (table: Buffer): ChunkIndex =>
  new ChunkIndex(table, { offset: 0, size: table.length }, BLOBS);

t.test('finds every record, and nothing else', t => {
  const key = fc.tuple(fc.nat(2), fc.oneof(fc.nat(20), fc.nat(0xffffff)));
  fc.assert(
    fc.property(fc.uniqueArray(key, { selector: String, maxLength: 40 }), keys => {
      const index = open(tableOf(keys));
      for (const [i, [blob, number]] of keys.entries()) {
        t.equal(index.find(blob, number), i * ChunkRecord.size);
      }
      for (let blob = 0; blob < BLOBS.length; blob++) {
        for (let number = 0; number <= 21; number++) {
          const at = keys.findIndex(([b, n]) => b === blob && n === number);
          t.equal(index.find(blob, number), at < 0 ? undefined : at * ChunkRecord.size);
        }
      }
    }),
    { numRuns: 50 },
  );
  t.end();
});

t.test('refuses records that make no sense', t => {
  t.match(
    failure(() => open(tableOf([[3, 0]]))),
    { code: 'CORRUPT', message: /expected a blob index below 3, got 3/ },
  );
  t.match(
    failure(() => open(tableOf([[0, 0x1000000]]))),
    { code: 'CORRUPT', message: /index/ },
  );
  const twice = tableOf([[1, 5], [0, 5], [1, 5]]); // prettier-ignore
  t.match(
    failure(() => open(twice)),
    { code: 'CORRUPT', message: /two records/, at: { blob: 'b' } },
  );
  t.end();
});
