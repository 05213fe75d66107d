import t from 'tap';
import {
  COMPRESSION_FLAG_NAMES,
  COMPRESSION_FLAGS,
  COMPRESSOR_NAMES,
  COMPRESSORS,
  compressorWith,
  TOC_COMPRESSION_FLAGS,
  WRITTEN_COMPRESSORS,
} from '../../../lib/layout/compressors.js';
import { SUPER_FLAGS } from '../../../lib/layout/rafs.js';

t.test('numbers and flags are those of the format', async t => {
  t.same(COMPRESSORS, { none: 0, lz4_block: 1, gzip: 2, zstd: 3 });
  t.same(COMPRESSION_FLAGS, { none: 1, lz4_block: 2, gzip: 0x40, zstd: 0x80 });
  t.same(TOC_COMPRESSION_FLAGS, { none: 1, lz4_block: 4, gzip: undefined, zstd: 2 });
  t.same(WRITTEN_COMPRESSORS, ['none', 'lz4_block', 'zstd']);
  t.same(Object.keys(COMPRESSION_FLAG_NAMES), [
    'COMPRESSION_NONE',
    'COMPRESSION_LZ4',
    'COMPRESSION_GZIP',
    'COMPRESSION_ZSTD',
  ]);
});

t.test('no two share a number or a flag, nor a flag with another fact', async t => {
  for (const table of [COMPRESSORS, COMPRESSION_FLAGS]) {
    t.equal(new Set(Object.values(table)).size, COMPRESSOR_NAMES.length);
  }
  const bits = Object.values(SUPER_FLAGS);
  t.equal(new Set(bits).size, bits.length);
});

t.test('a name is found by its value, and an unknown value has none', async t => {
  for (const name of COMPRESSOR_NAMES) {
    t.equal(compressorWith(COMPRESSORS, COMPRESSORS[name]), name);
  }
  t.equal(compressorWith(COMPRESSORS, 4), undefined);
});
