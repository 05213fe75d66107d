/** Made layers are what they are said to be. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { isLayerName, LAYERS, makeLayer, type LayerName } from '../../benchmarks/layers.js';
import { madeTar } from '../support/tar/layers.js';

const noTar = spawnSync('tar', ['--version']).error !== undefined && 'needs tar';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Sizes of the files of a tar, in order, as tar lists them. */
const sizesOf = (tar: Buffer): number[] =>
  execFileSync('tar', ['-tvf', '-'], { input: tar, maxBuffer: 0x8000000 })
    .toString()
    .split('\n')
    .filter(line => line.startsWith('-'))
    .map(line => Number(line.split(/\s+/)[2]))
    .sort((a, b) => a - b);

t.test('the same seed gives the same layer', t => {
  const digest = (seed: number) => sha256(madeTar('debian', { scale: 0.01, seed }));
  t.equal(digest(1), digest(1));
  t.not(digest(1), digest(2));
  t.end();
});

t.test('sizes and compressibility', { skip: noTar }, t => {
  const expected: readonly [LayerName, scale: number, median: number, packed: number][] = [
    ['debian', 0.1, 2200, 0.45],
    ['kernel', 0.02, 3900, 0.2],
    ['million', 0.01, 250, 0.25],
  ];
  for (const [name, scale, median, packed] of expected) {
    const tar = madeTar(name, { scale });
    const sizes = sizesOf(tar);
    t.equal(sizes.length, Math.ceil(LAYERS[name].files * scale), `${name}: files`);
    const middle = sizes[sizes.length >> 1]!;
    t.ok(Math.abs(middle / median - 1) < 0.1, `${name}: half of them have less than ${middle}`);
    const ratio = gzipSync(tar).length / tar.length;
    t.ok(Math.abs(ratio - packed) < 0.08, `${name}: gzip makes ${ratio.toFixed(2)} of it`);
  }
  t.end();
});

t.test('few large files', { skip: noTar }, t => {
  const tar = madeTar('1g', { scale: 0.01 });
  const sizes = sizesOf(tar);
  t.equal(sizes.length, LAYERS['1g'].files);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  t.ok(Math.abs(total / (0.01 * 2 ** 30) - 1) < 0.1, `${total} bytes`);
  t.end();
});

t.test('pieces are small, whatever the size of a file', t => {
  let largest = 0;
  let left = 50;
  for (const piece of makeLayer(LAYERS['10g'])) {
    largest = Math.max(largest, piece.length);
    if (--left === 0) break;
  }
  t.equal(largest, 0x100000);
  t.end();
});

t.test('names', t => {
  t.ok(isLayerName('debian'));
  t.notOk(isLayerName('toString'));
  t.end();
});
