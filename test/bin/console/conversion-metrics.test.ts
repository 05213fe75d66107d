import t from 'tap';
import { conversionMetrics } from '../../../bin/console/conversion-metrics.js';

t.test('names and units of nydusify', async t => {
  const names = { source: 'a', target: 'b' };
  const text = conversionMetrics(names, { images: [], sourceSize: 12, targetSize: 5 }, 1.5);
  t.match(text, /}\n$/);
  t.same(JSON.parse(text), {
    SourceImage: 'a',
    TargetImage: 'b',
    TargetDigests: [],
    SourceImageSize: 12,
    TargetImageSize: 5,
    SourcePullElapsed: 0,
    ConversionElapsed: 1_500_000_000,
    TargetPushElapsed: 0,
  });
});
