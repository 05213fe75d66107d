import t from 'tap';
import { zstdEngine } from '../../../lib/compress/zstd-engine.js';
import { randomBytes, wordyBytes } from '../../support/random.js';
import { withoutNative } from '../../support/process/without-native.js';

type EngineModule = typeof import('../../../lib/compress/zstd-engine.js');
const URL_OF_ENGINE = new URL('../../../lib/compress/zstd-engine.js', import.meta.url);

t.test('both engines prove that their bytes are those of libzstd 1.5.6', async t => {
  const native = await zstdEngine();
  const wasm = await withoutNative(URL_OF_ENGINE, ['zstd-napi'], (module: EngineModule) =>
    module.zstdEngine(),
  );
  t.match(wasm.encoder.name, /wasm/);
  t.equal(native.exact, true, native.encoder.name);
  t.equal(wasm.exact, true, wasm.encoder.name);
  for (const bytes of [
    ...[0, 1, 100, 4096, 0x20001, 0x100000].map(size => wordyBytes(size, size)),
    randomBytes(70_000, 1),
    Buffer.alloc(0x100000),
  ]) {
    const [a, b] = [native, wasm].map(({ encoder }) => {
      const out = Buffer.alloc(bytes.length + 0x4000);
      return out.subarray(0, encoder.compressInto(out, bytes));
    });
    t.ok(a!.equals(b!), `${bytes.length} bytes`);
    for (const { decoder } of [native, wasm]) {
      const plain = Buffer.alloc(bytes.length);
      t.equal(decoder.decompressInto(plain, a!), bytes.length);
      t.ok(plain.equals(bytes));
    }
  }
});
