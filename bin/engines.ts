/** What `--version --verbose` adds: which code does the heavy work on this machine. */
import { createRequire } from 'node:module';
import { zstdEngine } from '../lib/compress/zstd-engine.js';

const require = createRequire(import.meta.url);

/** Name and version of a native package; undefined if it does not load here. */
const native = (name: string): string | undefined => {
  try {
    require(name);
    return `${name} ${(require(`${name}/package.json`) as { version: string }).version}`;
  } catch {
    return undefined;
  }
};

/** One line for each engine, in the form of the lines of `--version`. */
export const enginesText = async (): Promise<string> => {
  const { encoder, decoder, exact } = await zstdEngine();
  const bytes = exact ? 'bytes of libzstd 1.5.6' : 'NOT the bytes of libzstd 1.5.6';
  const crc32 = native('@node-rs/crc32');
  return [
    ['Zstd', `${encoder.name}, ${bytes}`],
    ...(decoder.name === encoder.name ? [] : [['Unzstd', decoder.name]]),
    ['LZ4', 'own WebAssembly, bytes of LZ4 1.10'],
    ['Inflate', 'own WebAssembly'],
    ['BLAKE3', native('@napi-rs/blake-hash') ?? 'hash-wasm (WebAssembly)'],
    ['SHA-256', `node:crypto, OpenSSL ${process.versions.openssl ?? 'unknown'}`],
    ['CRC-32', crc32 ?? 'node:zlib or JavaScript'],
    ['CRC-32C', crc32 ?? 'JavaScript'],
    ['Xattrs', native('@napi-rs/xattr') ?? 'none: those of directories are not read'],
  ]
    .map(([name, text]) => `${`${name!}:`.padEnd(12)}\t${text!}\n`)
    .join('');
};
