/** Inputs of some kilobytes that ask for gigabytes: one line of error, and no such memory. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { COMPRESSORS, TOC_COMPRESSION_FLAGS } from '../../lib/layout/compressors.js';
import { ChunkInfoHeader, Section, TocEntry } from '../../lib/layout/blob.js';
import { BlobEntry } from '../../lib/layout/rafs-v6.js';
import { sectionHeader } from '../../lib/tar/header.js';
import { golden, goldenBlob } from '../support/images/golden.js';
import { CLI, PLAIN } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { filesBelow } from '../support/process/left.js';
import { paxRecord, tarOf } from '../support/tar/tar.js';

const skip = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';

const MOST_MIB = 200;

/** Runs the program; its status, its last words, and the most memory that it had. */
const run = (t: Test, argv: readonly string[]) => {
  const folder = temporaryDirectory(t);
  const figures = path.join(folder, 'figures');
  const [program, ...before] = PLAIN;
  const timed = [...before, 'time', '-q', '-f', '%M', '-o', figures, process.execPath, CLI];
  const { status, stderr, stdout } = spawnSync(program, [...timed, ...argv], {
    cwd: folder,
    maxBuffer: 0x10000000,
  });
  const peakMib = Number(fs.readFileSync(figures, 'utf8')) / 1024;
  return { status, stdout: stdout.length, stderr: stderr.toString(), peakMib };
};

const refuses = (t: Test, what: string, argv: readonly string[], text: RegExp): void => {
  const { status, stderr, peakMib } = run(t, argv);
  t.equal(status, 1, `${what}: exit status`);
  t.match(stderr.trimEnd().split('\n').at(-1), text, what);
  t.notMatch(stderr, /\n\s+at /, `${what}: no trace`);
  t.ok(peakMib > 10 && peakMib < MOST_MIB, `${what}: ${peakMib.toFixed(0)} MiB`);
};

/** A zstd frame (RFC 8878) of that many zeros: a block of four bytes for each 128 KiB of them. */
const zeros = (size: number): Buffer => {
  const head = Buffer.from('28b52ffdc0580000000000000000', 'hex');
  head.writeBigUInt64LE(BigInt(size), 6);
  const count = Math.ceil(size / 0x20000);
  const blocks = Buffer.alloc(4 * count);
  for (let i = 0; i < count; i++) {
    const length = Math.min(0x20000, size - i * 0x20000);
    blocks.writeUIntLE((length << 3) | 2 | (i === count - 1 ? 1 : 0), 4 * i, 3);
  }
  return Buffer.concat([head, blocks]);
};

const HUGE = 2 ** 31 - 4096;

t.test('a blob whose bootstrap unpacks to 2 GiB', { skip }, t => {
  const stored = zeros(HUGE);
  const entry = TocEntry.encode({
    flags: TOC_COMPRESSION_FLAGS.zstd!,
    name: Section.BOOT,
    uncompressedDigest: Buffer.alloc(32),
    compressedOffset: 0,
    compressedSize: stored.length,
    uncompressedSize: HUGE,
  });
  const file = path.join(temporaryDirectory(t), 'blob');
  const headers = [Section.BOOT, Section.TOC].map((name, i) =>
    sectionHeader(name, [stored.length, entry.length][i]!),
  );
  const blob = Buffer.concat([stored, headers[0]!, entry, headers[1]!]);
  t.ok(blob.length < 0x11000, `${blob.length} bytes`);
  fs.writeFileSync(file, blob);
  const out = path.join(temporaryDirectory(t), 'out');
  for (const argv of [
    ['check', file],
    ['inspect', '-R', 'stats', file],
    ['merge', '-B', out, file],
    ['unpack', '--blob', file, '--output', out, file],
    ['export', '--block', '-B', file, '-D', path.dirname(file), '--output', out],
  ]) {
    refuses(t, argv[0]!, argv, /cannot be unpacked|cannot hold|too many|too large/);
  }
  t.notOk(fs.existsSync(out), 'nothing is left');
  t.end();
});

t.test('a blob whose table of chunks unpacks to 2 GiB', { skip }, t => {
  const name = 'batch.kinds.zstd';
  const boot = golden(name);
  const { id, ciOffset } = parseBootstrap(boot).blobs[0]!;
  const { blob: table } = parseBootstrap(boot).tables;
  const stored = zeros(HUGE);
  const sizes = { ciCompressedSize: stored.length, ciUncompressedSize: HUGE };
  const old = fs.readFileSync(goldenBlob(name));
  const header = ChunkInfoHeader.decode(old, old.length - ChunkInfoHeader.size);
  const blob = Buffer.concat([
    old.subarray(0, ciOffset),
    stored,
    ChunkInfoHeader.encode({ ...header, ...sizes, ciCompressor: COMPRESSORS.zstd }),
  ]);
  BlobEntry.encodeInto(boot, table.offset, {
    ...BlobEntry.decode(boot, table.offset),
    ...{ ...sizes, ciCompressor: COMPRESSORS.zstd, compressedSize: blob.length },
  });
  const folder = temporaryDirectory(t);
  fs.writeFileSync(path.join(folder, 'boot'), boot);
  fs.writeFileSync(path.join(folder, id), blob);
  const file = path.join(folder, 'boot');
  const out = path.join(folder, 'out');
  for (const argv of [
    ['check', '-D', folder, file],
    ['unpack', '-D', folder, '--output', out, file],
  ]) {
    refuses(t, argv[0]!, argv, /cannot be unpacked|cannot hold|too many/);
  }
  t.end();
});

/** A gzip of entries whose paths are too long for a header. */
const gzipOfPaths = (paths: readonly string[]): Buffer =>
  gzipSync(
    tarOf(
      paths.flatMap(name => [
        { name: 'pax', type: 'x', content: paxRecord('path', name) },
        { name: 'x', type: '0' },
      ]),
    ),
    { level: 9 },
  );

t.test('a gzip whose paths ask for more directories than it has bytes', { skip }, t => {
  const deep = gzipOfPaths(['a/'.repeat(40_000) + 'x']);
  t.ok(deep.length < 500, `${deep.length} bytes`);
  const wide = gzipOfPaths(Array.from({ length: 2000 }, (_, i) => `${i}/${'a/'.repeat(2000)}x`));
  t.ok(wide.length < 0x20000, `${wide.length} bytes`);
  for (const [what, bytes] of [
    ['40,000 levels', deep],
    ['4,000,000 directories', wide],
  ] as const) {
    const folder = temporaryDirectory(t);
    const source = path.join(temporaryDirectory(t), 'layer.tar.gz');
    fs.writeFileSync(source, bytes);
    for (const type of ['targz-rafs', 'targz-ref']) {
      const argv = ['create', '-t', type, '-B', `${folder}/boot`, '-D', folder, source];
      refuses(t, `${what}, ${type}`, argv, /limit|too many/);
      t.same(filesBelow(folder), [], 'nothing is left');
    }
  }
  t.end();
});

t.test('names that are not UTF-8 are printed in memory and time of their size', { skip }, t => {
  // a bootstrap of which nearly all bytes are such names: 4095 of them in each path
  const source = path.join(temporaryDirectory(t), 'layer.tar');
  const part = Buffer.alloc(254, 0xff).toString('latin1');
  const paths = Array.from({ length: 300 }, (_, i) => {
    const own = Buffer.from([0x80 + (i >> 6), 0x80 + (i & 63)]).toString('latin1');
    return `${`${part}/`.repeat(14)}${own}${part.slice(4)}`;
  });
  fs.writeFileSync(
    source,
    tarOf(
      paths.flatMap(name => [
        { name: 'pax', type: 'x', content: paxRecord('path', Buffer.from(name, 'latin1')) },
        { name: 'x', type: '0' },
      ]),
    ),
  );
  const folder = temporaryDirectory(t);
  const boot = path.join(folder, 'boot');
  const built = run(t, ['create', '-t', 'tar-rafs', '-B', boot, '-D', folder, source]);
  t.match(built, { status: 0 });
  t.ok(fs.statSync(boot).size > 80_000, `${fs.statSync(boot).size} bytes`);
  const { status, stdout, peakMib } = run(t, ['check', '-v', boot]);
  t.equal(status, 0);
  t.ok(stdout > 300 * 4 * 3500, `${stdout} bytes of text`);
  t.ok(peakMib < MOST_MIB, `${peakMib.toFixed(0)} MiB`);
  t.end();
});
