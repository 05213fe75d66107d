import zlib from 'node:zlib';
import t from 'tap';
import { SNIFFED_SIZE, sniff } from '../../../lib/compress/sniff.js';

t.test('what a source is compressed with shows in its first bytes', async t => {
  const hex = (text: string) => sniff(Buffer.from(text, 'hex'));
  t.equal(sniff(zlib.gzipSync('x').subarray(0, SNIFFED_SIZE)), 'gzip');
  t.equal(hex('1f8b08'), 'gzip', 'three bytes are enough');
  t.equal(hex('1f8b07ff'), 'none');
  t.equal(hex('28b52ffd'), 'zstd');
  t.equal(hex('28b52f'), 'none');
  t.equal(hex('502a4d18'), 'zstd', 'skippable frame');
  t.equal(hex('5f2a4d18'), 'zstd');
  t.equal(hex('602a4d18'), 'none');
  t.equal(hex(''), 'none');
  t.equal(sniff(Buffer.from('usr/bin/x\0\0')), 'none');
});
