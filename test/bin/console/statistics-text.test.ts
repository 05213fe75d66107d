import t from 'tap';
import { statisticsText } from '../../../bin/console/statistics-text.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { StatisticsGatherer } from '../../../lib/image/statistics.js';
import { golden } from '../../support/images/golden.js';

t.test('sums and rows as lines for people', async t => {
  const gatherer = new StatisticsGatherer({ digester: 'blake3', dedup: true });
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  gatherer.addBase(parseBootstrap(golden('merge.v6')));
  const text = statisticsText(gatherer.result(), gatherer.dedupRows());
  t.match(text, /^\n\nBase Image Statistics:\n/);
  t.match(text, /\nDirectories: +14\n/);
  t.match(text, /\n\nChunk Deduplication Statistics:\n/);
  t.equal(text.match(/^\d+ +\t0x/gm)?.length, 20);
});

t.test('a target has a part of its own', async t => {
  const gatherer = new StatisticsGatherer({ digester: 'blake3', dedup: false });
  gatherer.addBase(parseBootstrap(golden('layer.layer-0.v6')));
  gatherer.addTarget(parseBootstrap(golden('merge.v6')));
  const text = statisticsText(gatherer.result(), []);
  t.match(text, /^Target Image Statistics:\n/);
  t.notMatch(text, /Chunk Deduplication/);
});
