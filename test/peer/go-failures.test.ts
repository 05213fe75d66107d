/**
 * The library by which containerd converts images calls us as its builder: whatever fails, it is told,
 * and not left waiting.
 */
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { temporaryDirectory } from '../support/process/fs.js';
import { GoBench, type Packed } from '../support/peers/go-bench.js';
import { randomBytes } from '../support/random.js';

const bench = new GoBench(t);

/** A copy of a file, cut or with other bytes in it. */
const spoiled = async (
  t: Test,
  whole: Promise<{ file: string }>,
  spoil: (bytes: Buffer) => Buffer,
): Promise<string> => {
  const { file } = await whole;
  const copy = path.join(temporaryDirectory(t), path.basename(file));
  fs.writeFileSync(copy, spoil(fs.readFileSync(file)));
  return copy;
};

const flipped = (bytes: Buffer, at: number): Buffer => {
  bytes[at]! ^= 0x55;
  return bytes;
};
const half = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length / 2);

type Spoil = (bytes: Buffer) => Buffer;
const whole: Spoil = bytes => bytes;

/** What is packed, with which options, and what the client says of it. */
const PACKS: readonly [what: string, gzip: boolean, spoil: Spoil, options: object, says: RegExp][] =
  [
    ['no tar', false, () => randomBytes(0x10000, 1), {}, /exit status 1/],
    ['half a tar', false, half, {}, /exit status 1/],
    ['a header that is wrong', false, tar => flipped(tar, 600), {}, /exit status/],
    ['half a gzip', true, half, { OCIRef: true }, /exit status 1/],
    ['a size that is no power of two', false, whole, { ChunkSize: '0x1234' }, /exit status/],
    ['a compressor that there is not', false, whole, { Compressor: 'brotli' }, /exit status/],
    ['no dictionary', false, whole, { ChunkDict: '/none/at/all' }, /exit status 1/],
    ['an option of v6', false, whole, { FsVersion: '5', BatchSize: '0x4000' }, /only be supported/],
  ];

for (const [what, gzip, spoil, options, says] of PACKS) {
  bench.test(`pack: ${what}`, async t => {
    const Source = await spoiled(t, bench.layer('mixed', gzip), spoil);
    const TargetDir = temporaryDirectory(t);
    await bench.fails(t, { Op: 'pack', FsVersion: '6', Source, TargetDir, ...options }, says);
  });
}

bench.test('pack: an end that does not come', async t => {
  const TargetDir = temporaryDirectory(t);
  const request = { Op: 'pack', FsVersion: '6', Source: '/dev/zero', TargetDir, Timeout: 4000 };
  await bench.fails(t, { ...request, Op: 'pack' }, /signal: killed/);
});

const blobOf = (t: Test, FsVersion = '6'): Promise<Packed> =>
  bench.packed(t, 'mixed', { FsVersion });

const unpackFails = async (
  t: Test,
  FsVersion: string,
  spoil: Spoil,
  says: RegExp,
): Promise<void> => {
  const Source = await spoiled(t, blobOf(t, FsVersion), spoil);
  const Target = path.join(temporaryDirectory(t), 'tar');
  await bench.fails(t, { Op: 'unpack', Source, Target }, says);
};

for (const version of ['5', '6']) {
  bench.test(`unpack: v${version}, a chunk that is wrong`, async t => {
    await unpackFails(t, version, blob => flipped(blob, 0x100000), /exit status 1/);
  });
}

bench.test('unpack: half a blob', async t => {
  await unpackFails(t, '6', half, /./);
});

bench.test('unpack: a bootstrap that is wrong', async t => {
  const packed = await blobOf(t);
  const { Sections = {} } = await bench.does(t, { Op: 'sections', Source: packed.file });
  const at = Sections['image.boot']!.TOC!.CompressedOffset + 30;
  await unpackFails(t, '6', blob => flipped(blob, at), /./);
});

bench.test('merge: versions that do not go together', async t => {
  const both = [await blobOf(t, '6'), await blobOf(t, '5')];
  await bench.fails(t, bench.mergeRequest(t, both), /exit status 2/);
});

bench.test('merge: no parent', async t => {
  const options = { ParentBootstrap: '/none/at/all' };
  await bench.fails(t, bench.mergeRequest(t, [await blobOf(t)], options), /exit status 1/);
});
