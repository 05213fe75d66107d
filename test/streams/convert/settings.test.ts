import t from 'tap';
import { planConversion, type ConversionOptions } from '../../../streams/convert/settings.js';

const keyOf = (options: ConversionOptions): string => planConversion(options).key;

t.test('what is not said is decided', t => {
  t.match(planConversion({}), {
    mode: 'native',
    prefetch: [''],
    build: { fsVersion: 6, compressor: 'zstd', chunkSize: 0x100000, batchSize: 0 },
  });
  t.equal(planConversion({ mode: 'zran', fsVersion: 5 }).build.fsVersion, 6, 'v5 has no zran');
  t.equal(planConversion({ fsVersion: 5 }).build.fsVersion, 5);
  t.end();
});

t.test('keys are equal where blobs are', t => {
  t.equal(keyOf({}), keyOf({ mode: 'native', compressor: 'zstd', chunkSize: '1048576' }));
  const differing: ConversionOptions[] = [
    {},
    { mode: 'zran' },
    { mode: 'tarfs' },
    { fsVersion: 5 },
    { compressor: 'none' },
    { chunkSize: '0x10000' },
    { batchSize: '0x10000' },
    { fsVersion: 5, alignedChunk: true },
    { prefetch: ['/etc'] },
  ];
  t.equal(new Set(differing.map(keyOf)).size, differing.length);
  t.equal(keyOf({ alignedChunk: true }), keyOf({}), 'v6 always aligns them');
  t.equal(keyOf({ mode: 'zran', prefetch: ['/etc'] }), keyOf({ mode: 'zran' }), 'of no use there');
  t.end();
});

t.test('options that do not go together', t => {
  t.throws(() => planConversion({ mode: 'zran', encrypt: true }), { code: 'USAGE' });
  t.throws(() => planConversion({ chunkSize: '3' }), { code: 'LIMIT' });
  t.throws(() => planConversion({ fsVersion: 5, encrypt: true }));
  t.end();
});
