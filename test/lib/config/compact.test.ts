import fc from 'fast-check';
import t from 'tap';
import { parseCompactConfig } from '../../../lib/config/compact.js';
import { failure } from '../../support/images/golden.js';

t.test('the fields of the file, all of which may be missing', t => {
  const all = {
    min_used_ratio: 10,
    compact_blob_size: 10485760,
    max_compact_size: 104857600,
    layers_to_compact: 32,
    blobs_dir: '/path/to/blobs',
  };
  t.same(parseCompactConfig(all), {
    minUsedRatio: 10,
    compactBlobSize: 10485760,
    maxCompactSize: 104857600,
    layersToCompact: 32,
    blobsDir: '/path/to/blobs',
  });
  t.same(parseCompactConfig({ blobs_dir: '' }), {});
  t.end();
});

t.test('anything: rules or a RafsError', t => {
  const field = fc.constantFrom(
    'min_used_ratio',
    'layers_to_compact',
    'blobs_dir',
    '__proto__',
    'x',
  );
  const document = fc.oneof(fc.anything(), fc.dictionary(field, fc.anything()));
  fc.assert(
    fc.property(document, value => {
      failure(() => parseCompactConfig(value));
    }),
  );
  t.end();
});
