import t from 'tap';
import { ChunkUses } from '../../../lib/bootstrap/chunk-uses.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { verify } from '../../../lib/bootstrap/verify.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { ChunkRecord } from '../../../lib/layout/rafs.js';
import { BOOTSTRAPS, BOOTSTRAPS_V5, failure, golden } from '../../support/images/golden.js';

await prepareDigests();

const usesOf = (image: Buffer): ChunkUses => {
  const bootstrap = parseBootstrap(image);
  const uses = new ChunkUses(bootstrap);
  for (const visit of verify(bootstrap, chunk => uses.add(chunk))) void visit;
  return uses;
};

t.test('every chunk of every blob, once, in the order of indexes', t => {
  for (const name of [...BOOTSTRAPS, ...BOOTSTRAPS_V5]) {
    const bootstrap = parseBootstrap(golden(name));
    const due = bootstrap.blobs.map(() => new Map<number, string>());
    for (const { inode } of walk(bootstrap)) {
      for (const chunk of bootstrap.chunks(inode)) {
        if (!bootstrap.tarfs) due[chunk.blobIndex]!.set(chunk.index, chunk.digest.toString('hex'));
      }
    }
    const uses = usesOf(golden(name));
    for (const { index } of bootstrap.blobs) {
      const got = [...uses.ofBlob(index)].map(chunk => [chunk.index, chunk.digest.toString('hex')]);
      t.same(
        got,
        [...due[index]!].sort(([a], [b]) => a - b),
        `${name} ${index}`,
      );
    }
  }
  t.end();
});

t.test('v5: a record after the first of its chunk was not looked at', t => {
  // two files with the same content: the chunk has two records
  const image = golden('tar-rafs.kinds.lz4_block.v5');
  const bootstrap = parseBootstrap(image);
  const records = new Map<number, number[]>();
  for (const { inode } of walk(bootstrap)) {
    for (const { index, recordAt } of bootstrap.chunks(inode)) {
      records.set(index, [...(records.get(index) ?? []), recordAt!]);
    }
  }
  const repeated = [...records.values()].find(places => places.length > 1)!;
  t.ok(repeated, 'the image has a chunk with two records');
  const fields = ['compressedOffset', 'uncompressedOffset', 'crc32'] as const;
  for (const field of fields) {
    const wrong = Buffer.from(image);
    wrong[repeated[1]! + ChunkRecord.offsets[field]]! ^= 1;
    const error = failure(() => {
      const uses = usesOf(wrong);
      for (const chunk of uses.ofBlob(0)) void chunk;
    });
    t.match(error, { code: 'CORRUPT', message: /two records of the chunk differ/ }, field);
    t.match(error?.at, { blob: bootstrap.blobs[0]!.id, chunk: Number }, field);
  }
  t.end();
});
