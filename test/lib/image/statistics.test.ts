import t from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { ChunkRecord } from '../../../lib/layout/rafs.js';
import { StatisticsGatherer } from '../../../lib/image/statistics.js';
import { expected, golden } from '../../support/images/golden.js';

/** Sizes of the distinct chunks in a chunk table, by digest. */
const digests = (image: Buffer): Map<string, number> => {
  const { offset, size } = parseBootstrap(image).tables.chunk;
  const found = new Map<string, number>();
  for (let at = offset; at < offset + size; at += ChunkRecord.size) {
    const { digest, uncompressedSize } = ChunkRecord.decode(image, at);
    found.set(digest.toString('hex'), uncompressedSize);
  }
  return found;
};

t.test('sums are those of nydus-image', t => {
  const due = expected().find(({ id }) => id === 'stat.merge.v6')!.json;
  const gatherer = new StatisticsGatherer({ digester: 'blake3', dedup: false });
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  t.equal(JSON.stringify(gatherer.result()), JSON.stringify(due));
  t.end();
});

t.test('a target shares what the base has', t => {
  const gatherer = new StatisticsGatherer({ digester: 'blake3', dedup: true });
  gatherer.addBase(parseBootstrap(golden('layer.layer-0.v6')));
  gatherer.addTarget(parseBootstrap(golden('merge.v6')));
  const { base_image, target_image, target_enabled } = gatherer.result();
  t.ok(target_enabled);
  // layer-0 is one of three layers of the image
  const lower = digests(golden('layer.layer-0.v6'));
  const shared = [...digests(golden('merge.v6'))].filter(([digest]) => lower.has(digest));
  t.ok(shared.length > 0 && shared.length < 5);
  t.equal(target_image.ref_chunks, shared.length);
  t.equal(
    target_image.ref_uncomp_size,
    shared.reduce((sum, [, size]) => sum + size, 0),
  );
  t.equal(target_image.own_chunks + target_image.ref_chunks, 5);
  t.equal(base_image.dedup_chunks, base_image.own_chunks);
  t.end();
});

t.test('images with another digest algorithm are not compared', t => {
  const gatherer = new StatisticsGatherer({ digester: 'sha256', dedup: true });
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  gatherer.addTarget(parseBootstrap(golden('merge.v6')));
  const { base_image, target_image } = gatherer.result();
  t.equal(base_image.dedup_chunks, 0);
  t.equal(target_image.ref_chunks, 0);
  t.equal(target_image.own_chunks, 5);
  t.end();
});

t.test('rows count chunks by the images that have them', t => {
  const gatherer = new StatisticsGatherer({ digester: 'blake3', dedup: true });
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  const [one, two, three] = gatherer.dedupRows();
  t.match(one, { rawCount: 10, dedupCount: 5, baseSize: 1352782, imageSize: 0 });
  t.match(two, { rawCount: 10, dedupCount: 5, contentSize: 2 * 1352782 });
  t.match(three, { rawCount: 10, dedupCount: 10, baseSize: 0, imageSize: 2 * 1352782 });
  t.end();
});
