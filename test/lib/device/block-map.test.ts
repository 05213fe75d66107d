import t from 'tap';
import { blockMap, endOfChunk, requireGap } from '../../../lib/device/block-map.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import type { BlobRecord } from '../../../lib/model/stored.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { altered, failure, golden } from '../../support/images/golden.js';

const image = golden('merge.v6');
const parsed = parseBootstrap(image);

/** The image with some facts of it changed. */
const withFacts = (facts: Partial<Bootstrap>, ...blobs: Partial<BlobRecord>[]): Bootstrap =>
  ({
    ...facts,
    version: facts.version ?? 6,
    blockSize: 4096,
    tarfs: facts.tarfs ?? false,
    blobs: parsed.blobs.map((blob, i) => ({ ...blob, ...blobs[i] })),
  }) as Bootstrap; // only these are looked at

t.test('blobs follow the bootstrap in the order of their addresses', t => {
  const map = blockMap(parsed, image.length);
  t.equal(map.blockSize, 4096);
  t.equal(map.blobs.length, parsed.blobs.length);
  let end = image.length;
  for (const { blob, offset, size } of map.blobs) {
    t.ok(offset >= end && offset < end + 0x80000, 'less than an alignment behind');
    t.equal(offset % 0x80000, 0);
    t.equal(size, blob.uncompressedSize);
    end = offset + size;
  }
  t.equal(map.size, end);
  const [first, second] = parsed.blobs;
  const swapped = withFacts(
    {},
    { mappedBlkaddr: second!.mappedBlkaddr + 0x1000 },
    { mappedBlkaddr: first!.mappedBlkaddr },
    { mappedBlkaddr: second!.mappedBlkaddr + 0x2000 },
  );
  t.same(
    blockMap(swapped, image.length).blobs.map(({ blob }) => blob.index),
    [1, 0, 2],
  );
  t.end();
});

t.test('what cannot be a device is refused', t => {
  const at = (bootstrap: Bootstrap, size = image.length) =>
    failure(() => blockMap(bootstrap, size));
  t.match(at(withFacts({ version: 5 })), { code: 'UNSUPPORTED' });
  t.match(at(withFacts({ tarfs: true })), { code: 'CORRUPT' }, 'one of image and blob is Tarfs');
  t.match(at(withFacts({}), image.length + 1), { code: 'CORRUPT' }, 'no whole blocks');
  t.match(at(withFacts({}, { mappedBlkaddr: 0 })), { code: 'CORRUPT' }, 'no address');
  const [, second] = parsed.blobs;
  t.match(at(withFacts({}, { mappedBlkaddr: second!.mappedBlkaddr })), { code: 'CORRUPT' });
  t.match(at(withFacts({}, {}, {}, { mappedBlkaddr: 0xffff_ffff })), { code: 'LIMIT' });
  t.end();
});

t.test('chunks of a blob come one after another, close together', t => {
  const end = (uncompressedOffset: number, uncompressedSize: number): number => {
    const info = { uncompressedOffset, uncompressedSize, compressedOffset: 0, compressedSize: 1 };
    return endOfChunk({ ...info, compressed: true, encrypted: false }, 8192, 0x2000000);
  };
  t.equal(end(8192, 1), 8193);
  t.equal(end(8192 + 0x1000000, 4096), 8192 + 0x1000000 + 4096);
  t.equal(end(0x1000000, 0x1000000), 0x2000000);
  t.throws(() => end(4096, 100), { code: 'CORRUPT' }, 'in the one before');
  t.throws(() => end(0x1000000, 0x1000001), { code: 'CORRUPT' }, 'past the end');
  t.throws(() => end(8192 + 0x1000001, 1), { code: 'CORRUPT' }, 'far away');
  t.doesNotThrow(() => requireGap(0x1000000));
  t.throws(() => requireGap(0x1000001), { code: 'CORRUPT' });
  t.end();
});

t.test('altered images give a sound map or an error', t => {
  let maps = 0;
  for (const bytes of altered(image, 400)) {
    failure(() => {
      const map = blockMap(parseBootstrap(bytes), bytes.length);
      maps++;
      let end = bytes.length;
      for (const { offset, size } of map.blobs) {
        t.ok(offset >= end && offset - end <= 2 ** 30 && size >= 0);
        end = offset + size;
      }
      t.equal(map.size, end);
    });
  }
  t.ok(maps > 10, `${maps} maps`);
  t.end();
});
