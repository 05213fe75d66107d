/**
 * The libzstd that makes and reads zstd frames, and the proof that its bytes are the right ones.
 *
 * A blob has the bytes of libzstd 1.5.6, and Node 22 and later export the functions of a libzstd of
 * their own, which a native addon that is loaded as usual would call instead of those inside it. So
 * the addon is loaded with its own functions first. Where that cannot be done (musl has no such
 * flag, another part of the program may have loaded the addon before), its bytes are wrong; then
 * the same libzstd in WebAssembly, three times as slow, compresses instead.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { RafsError } from '../errors.js';
import { u16, u32, u64, u8 } from '../layout/struct.js';
import { zstdFramesOf } from './zstd-frames.js';

const require = createRequire(import.meta.url);

export type ZstdBinding = typeof import('zstd-napi/binding.js');

interface Encoder {
  /** package and version */
  readonly name: string;
  /** Compresses into `out`, which must have room for the worst case; returns the size. */
  compressInto(out: Uint8Array, bytes: Uint8Array): number;
}

interface Decoder {
  readonly name: string;
  /** Decompresses into `out`; returns the size. Fails if `out` has not enough room. */
  decompressInto(out: Buffer, bytes: Buffer): number;
}

export interface ZstdEngine {
  /** false if the compressed bytes are not those of libzstd 1.5.6 */
  readonly exact: boolean;
  readonly encoder: Encoder;
  readonly decoder: Decoder;
}

const LEVEL = 3;
const MAGIC = 0xfd2fb528;
/** How much longer a frame can be than what is in it. */
const OVERHEAD = 0x200;

/** Loads the addon so that it prefers its own functions, where the system can do that. */
const loadBinding = (manifest: string): ZstdBinding => {
  // the types say that all systems have all flags
  const { RTLD_NOW, RTLD_DEEPBIND } = constants.dlopen as Partial<typeof constants.dlopen>;
  if (!RTLD_NOW || !RTLD_DEEPBIND) return require('zstd-napi/binding.js') as ZstdBinding;
  const file = path.join(path.dirname(require.resolve(manifest)), 'build/Release/binding.node');
  const module = { exports: {} as ZstdBinding };
  process.dlopen(module, file, RTLD_NOW | RTLD_DEEPBIND);
  return module.exports;
};

interface Native {
  readonly name: string;
  readonly binding: ZstdBinding;
}

let native: Native | null | undefined;

/** null if the package is not installed, or not for this platform. */
const loadNative = (): Native | null => {
  try {
    const manifest = 'zstd-napi/package.json';
    const { version } = require(manifest) as { version: string };
    const binding = loadBinding(manifest);
    return { name: `zstd-napi ${version} (libzstd ${binding.versionString()})`, binding };
  } catch {
    return null;
  }
};

/** libzstd itself; undefined where its package could not be installed. */
export const zstdBinding = (): ZstdBinding | undefined => findNative()?.binding;

const findNative = (): Native | null => (native === undefined ? (native = loadNative()) : native);

/** Sha256 of what libzstd 1.5.6 makes of `proofText`; 1.5.7 makes something else. */
const PROOF_DIGEST = 'b6f68909c207cfe2be257350c985ff1b53794ac023826ea70da5cf104de0e6f5';

/** 16 KiB of words, always the same. */
const proofText = (): Buffer => {
  const text = Buffer.alloc(0x4000);
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) >>> 16;
  for (let at = 0; at < text.length;) {
    const word = next() % 200;
    const end = Math.min(text.length, at + 1 + (next() % 9));
    for (let i = 0; at < end; i++) text[at++] = 0x61 + ((Math.imul(word, 31 + i) >>> 2) % 26);
  }
  return text;
};

/** Whether the encoder makes the bytes of libzstd 1.5.6. */
const isExact = (encoder: Encoder): boolean => {
  const text = proofText();
  const frame = Buffer.alloc(text.length + OVERHEAD);
  const size = encoder.compressInto(frame, text);
  return createHash('sha256').update(frame.subarray(0, size)).digest('hex') === PROOF_DIGEST;
};

/** How many bytes a zstd frame says it decompresses to, if it does (RFC 8878, 3.1.1.1). */
const frameContentSize = (frame: Buffer): number | undefined => {
  const descriptor = frame[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  const field = [singleSegment ? u8 : undefined, u16, u32, u64][descriptor >> 6];
  if (frame.length < at + (field?.size ?? 0) || u32.read(frame, 0) !== MAGIC) {
    throw new RafsError('CORRUPT', `zstd: ${frame.length} bytes are not a valid frame`);
  }
  return field && field.read(frame, at) + (field === u16 ? 256 : 0);
};

const wasmZstd = async (): Promise<Encoder & Decoder> => {
  const wasm = await import('@bokuweb/zstd-wasm');
  await wasm.init();
  return {
    name: '@bokuweb/zstd-wasm',
    compressInto(out, bytes) {
      const packed = wasm.compress(bytes, LEVEL);
      out.set(packed);
      return packed.length;
    },
    decompressInto(out, bytes) {
      let done = 0;
      for (const frame of zstdFramesOf(bytes)) {
        const left = out.length - done;
        // the package allocates as much as the frame states
        const stated = frameContentSize(frame) ?? left;
        if (stated > left)
          throw new RafsError('CORRUPT', `zstd: the frame has more than ${out.length} bytes`);
        const part = wasm.decompress(frame, { defaultHeapSize: stated });
        if (part.length > left)
          throw new RafsError('CORRUPT', `zstd: the frame has more than ${out.length} bytes`);
        out.set(part, done);
        done += part.length;
      }
      return done;
    },
  };
};

const nativeZstd = ({ name, binding }: Native): Encoder & Decoder => {
  const encoder = new binding.CCtx();
  const decoder = new binding.DCtx();
  return {
    name,
    compressInto: (out, bytes) => encoder.compress(out, bytes, LEVEL),
    decompressInto: (out, bytes) => decoder.decompress(out, bytes),
  };
};

/** Finds an engine whose bytes are right; if there is none, one that works. */
const loadZstd = async (): Promise<ZstdEngine> => {
  const addon = findNative();
  const found = addon ? nativeZstd(addon) : undefined;
  if (found && isExact(found)) return { exact: true, encoder: found, decoder: found };
  const wasm = await wasmZstd();
  const exact = isExact(wasm);
  // whatever the version, both read all frames, and the native one is faster
  return { exact, encoder: exact ? wasm : (found ?? wasm), decoder: found ?? wasm };
};

let loading: Promise<ZstdEngine> | undefined;

/** One for all callers: the wasm package breaks if it is initialised twice. */
export const zstdEngine = (): Promise<ZstdEngine> => (loading ??= loadZstd());
