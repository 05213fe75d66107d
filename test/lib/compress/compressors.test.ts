import fc from 'fast-check';
import t from 'tap';
import {
  compress,
  compressBound,
  compressInto,
  compressorName,
  decompress,
  prepareCompressors,
  zstdFrame,
} from '../../../lib/compress/compressors.js';
import { COMPRESSORS, type Compressor } from '../../../lib/layout/compressors.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import type { RafsError } from '../../../lib/errors.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { withoutNative } from '../../support/process/without-native.js';

type CompressModule = typeof import('../../../lib/compress/compressors.js');
const URL_OF_COMPRESS = new URL('../../../lib/compress/compressors.js', import.meta.url);
type EngineModule = typeof import('../../../lib/compress/zstd-engine.js');
const URL_OF_ENGINE = new URL('../../../lib/compress/zstd-engine.js', import.meta.url);

const CODECS = ['zstd', 'lz4_block'] as const satisfies Compressor[];

const { exact } = await prepareCompressors();
/** The module as it is where there is no native zstd; made ready by several callers at once. */
const engine = await withoutNative(URL_OF_ENGINE, ['zstd-napi'], async (module: EngineModule) => {
  await Promise.all([1, 2, 3, 4].map(() => module.zstdEngine()));
  return module;
});
const wasm = await t.mockImport<CompressModule>(URL_OF_COMPRESS.href, {
  [URL_OF_ENGINE.href]: { zstdEngine: engine.zstdEngine },
});
const wasmPrepared = await wasm.prepareCompressors();

t.test('compressors have their numbers on disk', async t => {
  t.same(COMPRESSORS, { none: 0, lz4_block: 1, gzip: 2, zstd: 3 });
  for (const [name, id] of Object.entries(COMPRESSORS)) t.equal(compressorName(id), name);
  for (const id of [4, -1, 0xffffffff]) {
    t.throws(() => compressorName(id), { name: 'RafsError', code: 'CORRUPT' });
  }
});

t.test('zstd has to be made ready', async t => {
  const fresh = (await import(`${URL_OF_COMPRESS.href}?unprepared`)) as CompressModule;
  t.throws(() => fresh.compress('zstd', Buffer.alloc(99)), { message: /prepareCompressors/ });
  t.ok(fresh.compress('lz4_block', Buffer.alloc(99)), 'lz4 has not');
});

t.test('what comes out goes in again', async t => {
  const sizes = [1, 2, 11, 12, 13, 100, 4096, 65535, 65536, 0x20000, 0x100000, 0x100001];
  for (const codec of CODECS) {
    for (const size of sizes) {
      for (const bytes of [wordyBytes(size, size), Buffer.alloc(size, 'x')]) {
        const packed = compress(codec, bytes);
        if (!packed) {
          t.ok(size <= 100, `${size} bytes do not shrink`);
          continue;
        }
        t.ok(packed.length < size);
        t.ok(decompress(codec, packed, size).equals(bytes), `${codec}, ${size} bytes`);
      }
    }
  }
});

t.test('any bytes, and any view of them', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(0, 1, 2, 255), { maxLength: 2000, size: 'max' }),
      fc.nat(10),
      fc.constantFrom(...CODECS),
      (values, skip, codec) => {
        const bytes = Buffer.from(values).subarray(skip);
        const packed = compress(codec, bytes);
        return packed === undefined || decompress(codec, packed, bytes.length).equals(bytes);
      },
    ),
  );
});

t.test('what does not become smaller is not compressed', async t => {
  for (const codec of [...CODECS, 'none'] as const) {
    t.equal(compress(codec, Buffer.alloc(0)), undefined, `${codec}: nothing`);
    t.equal(compress(codec, randomBytes(0x10000, 1)), undefined, `${codec}: noise`);
  }
  t.equal(compress('none', Buffer.alloc(4096)), undefined);
  t.throws(() => compress('gzip', Buffer.alloc(9)), { message: /read, not written/ });
});

t.test('results are buffers of their own', async t => {
  for (const codec of CODECS) {
    const bytes = wordyBytes(5000, 1);
    const packed = compress(codec, bytes)!;
    const copy = Buffer.from(packed);
    compress(codec, wordyBytes(6000, 2));
    t.ok(packed.equals(copy), codec);
    const plain = decompress(codec, packed, 5000);
    decompress(codec, compress(codec, wordyBytes(6000, 2))!, 6000);
    t.ok(plain.equals(bytes), codec);
  }
});

t.test('compressing into a given place gives the same, and touches nothing before it', async t => {
  for (const module of [undefined, wasm]) {
    const into = module?.compressInto ?? compressInto;
    const whole = module?.compress ?? compress;
    for (const codec of [...CODECS, 'none'] as const) {
      for (const bytes of [
        wordyBytes(5000, 1),
        wordyBytes(0x100000, 2),
        randomBytes(5000, 1),
        Buffer.alloc(0),
        Buffer.alloc(1),
        Buffer.alloc(100),
      ]) {
        const due = whole(codec, bytes);
        const out = Buffer.from(new SharedArrayBuffer(37 + compressBound(bytes.length)));
        out.fill(0xa5, 0, 37);
        const size = into(codec, bytes, out, 37);
        t.equal(size, due?.length ?? 0, `${codec}, ${bytes.length} bytes`);
        if (due) t.ok(out.subarray(37, 37 + size).equals(due));
        t.ok(out.subarray(0, 37).every(byte => byte === 0xa5));
      }
    }
  }
});

t.test('chunks of 16 MiB', async t => {
  const bytes = Buffer.concat([wordyBytes(0x100000, 1), Buffer.alloc(0xf00000, 'ab')]);
  for (const codec of CODECS) {
    const packed = compress(codec, bytes)!;
    t.ok(decompress(codec, packed, bytes.length).equals(bytes), codec);
  }
  t.equal(compress('zstd', randomBytes(0x1000000, 3)), undefined);
});

// sha256 of what zstd 1.5.6 and lz4 1.10 make in one call, level 3 and default, of wordyBytes(size, size)
const GOLDEN: readonly (readonly [codec: 'zstd' | 'lz4_block', size: number, sha256: string])[] = [
  ['zstd', 200, 'f7ac9b0f959de95167de480eae5d44cfb5e0ee8f5d67f8da3224325875e9682e'],
  ['zstd', 4096, '39c753f80efac36c58878e936c3a60dadca7646cd48c204282e7b54442dbeca8'],
  ['zstd', 131073, '3123030a6a20cfc857a7a89bb95f69e1e8cd15ec3846acc7caf1767f9acc3b9d'],
  ['zstd', 1048576, '541208fc0cded7706e567399263bc3495f22aeddcdf69828bf0b11f8e89cf3be'],
  ['lz4_block', 1000, '8489f1dc58b9d5a770e9b4b8653f8618baf2e783c4b72f9dd0b6ebd1ccce4de1'],
  ['lz4_block', 4096, '32e23811202764e64edefd001222935e073c545bda93f58ded954f0c56dd304b'],
  ['lz4_block', 131073, '619013378fe141a0d4f3eb49a45f2931e9e355e781a7d28cf1be095dbda568cc'],
  ['lz4_block', 1048576, '5911ca923f107cb6d85d297eb37af2c17782f5d14f1a66e9b9a979fc1b7bb477'],
];
t.test('bytes are those of libzstd 1.5.6 at level 3 and of lz4 1.10', async t => {
  t.equal(exact, true);
  t.equal(wasmPrepared.exact, true);
  for (const [codec, size, due] of GOLDEN) {
    for (const module of [{ compress }, wasm]) {
      const packed = module.compress(codec, wordyBytes(size, size))!;
      t.equal(sha256(packed).toString('hex'), due, `${codec}, ${size} bytes`);
    }
  }
});

/** Any result or a RafsError with code CORRUPT: says which. */
const attempt = (
  codec: Compressor,
  bytes: Buffer,
  size: number,
  module?: CompressModule,
): 'bytes' | 'CORRUPT' => {
  try {
    const plain = (module?.decompress ?? decompress)(codec, bytes, size);
    if (plain.length !== size) throw new Error(`${plain.length} bytes, not ${size}`);
    return 'bytes';
  } catch (error) {
    // a module of its own has errors of its own
    const { name, code } = error as RafsError;
    if (name === 'RafsError' && code === 'CORRUPT') return 'CORRUPT';
    throw error;
  }
};

t.test('damage gives bytes of the due size or CORRUPT', async t => {
  for (const codec of CODECS) {
    const bytes = wordyBytes(3000, 4);
    const packed = compress(codec, bytes)!;
    for (let cut = 0; cut < packed.length; cut += 7) {
      t.equal(attempt(codec, packed.subarray(0, cut), 3000), 'CORRUPT', `${codec} cut at ${cut}`);
    }
    t.equal(attempt(codec, Buffer.concat([packed, Buffer.from('more')]), 3000), 'CORRUPT');
    const next = numbers(5);
    let corrupt = 0;
    for (let i = 0; i < 1500; i++) {
      const bad = Buffer.from(packed);
      const at = i < 64 ? i % 16 : next(bad.length);
      bad[at]! ^= 1 << next(8);
      if (attempt(codec, bad, 3000) === 'CORRUPT') corrupt++;
    }
    t.ok(corrupt > 0, `${codec}: ${corrupt} of 1500 flips were noticed`);
  }
});

t.test('another size than the bytes have is CORRUPT', async t => {
  for (const codec of CODECS) {
    const packed = compress(codec, wordyBytes(3000, 4))!;
    for (const size of [0, 1, 2999, 3001, 0x100000]) {
      t.throws(
        () => decompress(codec, packed, size),
        { name: 'RafsError', code: 'CORRUPT' },
        `${codec} ${size}`,
      );
    }
  }
  for (const codec of ['none', 'gzip'] as const) {
    t.throws(() => decompress(codec, Buffer.alloc(9), 9), {
      name: 'RafsError',
      code: 'UNSUPPORTED',
    });
  }
});

t.test(
  'without native zstd: frames that the native one reads, and the other way round',
  async t => {
    for (const size of [200, 4096, 0x20000, 0x100000, 0x180000]) {
      const bytes = wordyBytes(size, size);
      const packed = wasm.compress('zstd', bytes)!;
      t.ok(packed.length < size);
      t.ok(wasm.decompress('zstd', packed, size).equals(bytes), `${size} bytes`);
      t.ok(decompress('zstd', packed, size).equals(bytes), `${size} bytes, read by the native one`);
      t.ok(wasm.decompress('zstd', compress('zstd', bytes)!, size).equals(bytes));
    }
    t.equal(wasm.compress('zstd', randomBytes(0x10000, 1)), undefined);
  },
);

t.test('several frames are one', t => {
  const parts = [wordyBytes(5000, 1), randomBytes(3000, 2), wordyBytes(9000, 3)];
  const whole = Buffer.concat(parts);
  for (const { zstdFrame: frame } of [{ zstdFrame }, wasm]) {
    const packed = Buffer.concat(parts.map(frame));
    for (const { decompress: expand } of [{ decompress }, wasm]) {
      t.ok(expand('zstd', packed, whole.length).equals(whole));
      for (const size of [whole.length - 1, whole.length + 1, 5000]) {
        t.throws(() => expand('zstd', packed, size), { code: 'CORRUPT' });
      }
    }
  }
  t.end();
});

t.test('without native zstd: damage gives bytes of the due size or CORRUPT', async t => {
  const packed = wasm.compress('zstd', wordyBytes(3000, 4))!;
  for (const size of [0, 1, 2999, 3001, 0x100000]) {
    t.throws(
      () => wasm.decompress('zstd', packed, size),
      { name: 'RafsError', code: 'CORRUPT' },
      `${size}`,
    );
  }
  for (let cut = 0; cut < packed.length; cut += 7) {
    t.equal(attempt('zstd', packed.subarray(0, cut), 3000, wasm), 'CORRUPT', `cut at ${cut}`);
  }
  const next = numbers(5);
  for (let i = 0; i < 1000; i++) {
    const bad = Buffer.from(packed);
    bad[i < 64 ? i % 16 : next(bad.length)]! ^= 1 << next(8);
    attempt('zstd', bad, 3000, wasm);
  }
  t.ok(wasm.decompress('zstd', packed, 3000).equals(wordyBytes(3000, 4)), 'and it still works');
});

t.test('without native zstd: a frame that claims gigabytes is not believed', async t => {
  // magic, single segment with a size of 4 or 8 bytes, one empty last block
  const claim = (size: string): Buffer => Buffer.from(`28b52ffd${size}010000`, 'hex');
  const frames = [
    claim('a0ffffff7f'),
    claim('a000000080'),
    claim('e00000000001000000'),
    claim('e0ffffffffffffffff'),
  ];
  for (const frame of frames) {
    t.throws(() => wasm.decompress('zstd', frame, 4096), { name: 'RafsError', code: 'CORRUPT' });
    t.throws(() => decompress('zstd', frame, 4096), { name: 'RafsError', code: 'CORRUPT' });
  }
  t.throws(() => wasm.decompress('zstd', Buffer.from('28b52ffd', 'hex'), 1), { code: 'CORRUPT' });
});

t.test('without native zstd: a frame that does not say its size', async t => {
  // magic, window of 1 MiB, no content size; one raw last block of 5 bytes
  const frame = Buffer.concat([Buffer.from('28b52ffd0050290000', 'hex'), Buffer.from('hello')]);
  t.equal(wasm.decompress('zstd', frame, 5).toString(), 'hello');
  t.throws(() => wasm.decompress('zstd', frame, 4), { name: 'RafsError', code: 'CORRUPT' });
  t.throws(() => wasm.decompress('zstd', frame, 6), { name: 'RafsError', code: 'CORRUPT' });
  t.equal(decompress('zstd', frame, 5).toString(), 'hello');
});
