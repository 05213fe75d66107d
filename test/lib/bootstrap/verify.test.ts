import t from 'tap';
import { walk } from '../../../lib/bootstrap/walk.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { BlobEntry } from '../../../lib/layout/rafs-v6.js';
import { ChunkRecord } from '../../../lib/layout/rafs.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import { BOOTSTRAPS, failure, golden } from '../../support/images/golden.js';

t.test('good images: every name is visited, as a walk does', t => {
  for (const name of BOOTSTRAPS) {
    const bootstrap = parseBootstrap(golden(name));
    t.strictSame(
      [...verify(bootstrap)].map(({ path }) => path),
      [...walk(bootstrap)].map(({ path }) => path),
      name,
    );
  }
  t.end();
});

/** The offset of a field in every record of the chunk table. */
const records = (image: Buffer, field: keyof typeof ChunkRecord.offsets): number[] => {
  const { offset, size } = parseBootstrap(image).tables.chunk;
  return Array.from(
    { length: size / ChunkRecord.size },
    (_, i) => offset + i * ChunkRecord.size + ChunkRecord.offsets[field],
  );
};

const refused = (name: string, field: keyof typeof ChunkRecord.offsets, value: number) => {
  const image = golden(name);
  for (const at of records(image, field)) image.writeUInt32LE(value, at);
  return failure(() => [...verify(parseBootstrap(image))]);
};

t.test('chunks that pass the ends of their blob', t => {
  const at = { path: /^\// };
  t.match(refused('merge.v6', 'compressedOffset', 0xffffff00), { code: 'CORRUPT', at });
  t.match(refused('merge.v6', 'uncompressedSize', 17), { code: 'CORRUPT', at });
  t.match(refused('merge.v6', 'compressedSize', 17), { code: 'CORRUPT', at });
  t.match(refused('merge.v6', 'uncompressedOffset', 0xfffff000), { code: 'CORRUPT', at });
  t.match(refused('merge.v6', 'index', 20), { code: 'CORRUPT' });
  const image = golden('merge.v6');
  image.writeUInt32LE(100, 4096 + BlobEntry.offsets.compressedSize);
  t.match(
    failure(() => [...verify(parseBootstrap(image))]),
    { message: /past the end of the blob at 100/ },
  );
  t.end();
});

t.test('prefetch entries that are no inodes', t => {
  const image = golden('prefetch.fs');
  const { offset } = parseBootstrap(image).tables.prefetch;
  image.writeUInt32LE(0x7fffffff, offset);
  t.match(
    failure(() => [...verify(parseBootstrap(image))]),
    { code: 'CORRUPT', message: /nid/ },
  );
  t.end();
});
