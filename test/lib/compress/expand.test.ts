import t from 'tap';
import { prepareCompressors, zstdFrame } from '../../../lib/compress/compressors.js';
import { expand } from '../../../lib/compress/expand.js';

t.before(() => prepareCompressors());

t.test('bytes come out as they went in', async t => {
  const plain = Buffer.alloc(0x30000, 'some words ');
  t.ok(expand('zstd', zstdFrame(plain), plain.length, {}).equals(plain));
  t.equal(expand('none', plain, plain.length, {}), plain, 'without a copy');
  const copied = expand('none', plain, plain.length, {}, size => Buffer.alloc(size));
  t.not(copied, plain);
  t.ok(copied.equals(plain), 'with the memory that was asked for');
});

t.test('a size that the bytes do not have is refused with its place', async t => {
  const frame = zstdFrame(Buffer.alloc(1000));
  const at = { section: 'x' };
  t.throws(() => expand('none', frame, 5, at), { code: 'CORRUPT', at });
  t.throws(() => expand('zstd', frame, 1001, at), { code: 'CORRUPT', at });
  t.throws(() => expand('zstd', frame, 999, at), { code: 'CORRUPT', at });
  t.throws(() => expand('lz4_block', frame, frame.length * 0x100 + 1, at), { code: 'CORRUPT', at });
  t.throws(() => expand('gzip', frame, 10, at), { code: 'UNSUPPORTED', at });
});

t.test('a few kilobytes cannot ask for gigabytes, nor be told to allocate them', async t => {
  const before = process.memoryUsage.rss();
  for (const size of [0x4000001, 2 ** 31 - 1, 2 ** 31, 2 ** 52]) {
    t.throws(() => expand('zstd', Buffer.alloc(0x11000), size, {}), { code: 'LIMIT' });
  }
  t.ok(process.memoryUsage.rss() - before < 0x2000000);
  const plain = Buffer.alloc(0x4000000);
  t.equal(
    expand('zstd', zstdFrame(plain), plain.length, {}).length,
    plain.length,
    '64 MiB are fine',
  );
});
