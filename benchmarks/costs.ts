/**
 * What each step of the work on bytes costs a core: the limits in docs/performance.md.
 *
 *     node dist/benchmarks/costs.js [LAYER]
 *
 * The steps are done as in the stages, on 64 MiB of a generated layer.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { hashChunks } from '../lib/chunk/chunk-hashes.js';
import { compressBound, compressInto, prepareCompressors } from '../lib/compress/compressors.js';
import { crc32 } from '../lib/compress/crc32.js';
import { crc32c, digest, prepareDigests } from '../lib/crypto/digest.js';
import { blockDigests } from '../lib/device/verity.js';
import { GzipDecoder } from '../streams/layer/gunzip.js';
import { isLayerName, LAYERS, makeLayer } from './layers.js';

const SIZE = 0x4000000;
const CHUNK = 0x4000; // about the size of files in a kernel tree
const ROUNDS = 5;

const name = process.argv[2] ?? 'kernel';
if (!isLayerName(name)) throw new Error(`no layer '${name}'`);
const pieces: Buffer[] = [];
for (let left = SIZE; left > 0;) {
  for (const piece of makeLayer(LAYERS[name], { scale: 0.1 })) {
    pieces.push(piece);
    left -= piece.length;
    if (left <= 0) break;
  }
}
const plain = Buffer.concat(pieces, SIZE);
const packed = gzipSync(plain, { level: 6 });
const out = Buffer.alloc(compressBound(CHUNK));
const sizes = Array.from({ length: SIZE / CHUNK }, () => CHUNK);
await prepareCompressors();
await prepareDigests();

const byChunk = (use: (chunk: Buffer) => unknown): void => {
  for (let at = 0; at < SIZE; at += CHUNK) use(plain.subarray(at, at + CHUNK));
};

const STEPS: Readonly<Record<string, () => void>> = {
  'inflate, with its CRC-32': () => {
    const decoder = new GzipDecoder();
    for (let at = 0; at < packed.length; at += 0x40000) {
      for (const piece of decoder.push(packed.subarray(at, at + 0x40000))) void piece;
    }
    decoder.end();
  },
  'CRC-32 alone': () => void crc32(plain, 0),
  'sha256 of a stream': () => void createHash('sha256').update(plain).digest(),
  'sha256 of chunks': () => byChunk(chunk => digest('sha256', chunk)),
  'blake3 of chunks': () => byChunk(chunk => digest('blake3', chunk)),
  'CRC-32C of chunks': () => byChunk(chunk => crc32c(chunk)),
  'sha256 and CRC-32C of runs of chunks': () => void hashChunks(plain, sizes),
  'zstd, level 3': () => byChunk(chunk => compressInto('zstd', chunk, out, 0)),
  lz4_block: () => byChunk(chunk => compressInto('lz4_block', chunk, out, 0)),
  'sha256 of blocks, for verity': () => void blockDigests(plain, 4096),
  'a copy': () => byChunk(chunk => chunk.copy(out)),
};

/** Median of some rounds, after a warm-up round. */
const secondsPerGb = (step: () => void): number => {
  step();
  const took = Array.from({ length: ROUNDS }, () => {
    const start = process.hrtime.bigint();
    step();
    return Number(process.hrtime.bigint() - start) / 1e9;
  });
  return (took.sort((a, b) => a - b)[ROUNDS >> 1]! / SIZE) * 1e9;
};

process.stdout.write('| step | CPU seconds per GB |\n| --- | ---: |\n');
for (const [step, run] of Object.entries(STEPS)) {
  process.stdout.write(`| ${step} | ${secondsPerGb(run).toFixed(2)} |\n`);
}
