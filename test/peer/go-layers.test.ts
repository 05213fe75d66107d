/**
 * The library by which containerd converts images calls us as its builder, through its FIFOs, and
 * reads what we write: layers, each there and back.
 */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cli, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import {
  fileDigest,
  GoBench,
  isSound,
  NO_DATA,
  sameFile,
  UNPACK,
} from '../support/peers/go-bench.js';

const bench = new GoBench(t);

bench.test('finds what it looks for in our help', async t => {
  const { Features = [], commands } = await bench.does(t, { Op: 'features' });
  t.same([...Features].sort(), ['--batch-size', '--encrypt', '--type tar-rafs']);
  t.equal(commands, 'create -h');
});

bench.test('finds us by name', async t => {
  const packed = await bench.packed(t, 'upper', { Builder: '' });
  t.equal(packed.commands, '', 'not through the launcher');
  t.equal(packed.digest, (await bench.packed(t, 'upper', { FsVersion: '6' })).digest);
});

for (const FsVersion of ['5', '6']) {
  // `lower` goes there and back as a layer of an image
  for (const name of ['upper', 'mixed', 'directories', 'odd']) {
    bench.test(`v${FsVersion}: a layer there and back: ${name}`, async t => {
      const source = await bench.layer(name);
      const packed = await bench.packed(t, name, { FsVersion });
      t.equal(`sha256:${fileDigest(packed.file)}`, packed.digest, 'the digest is of the blob');
      t.match(packed.commands, `--fs-version ${FsVersion} --type tar-rafs --blob-inline-meta`);
      await bench.checkSections(t, packed, {
        toc: FsVersion === '6',
        without: name === 'directories' ? NO_DATA : [],
      });
      const back = await bench.unpack(t, packed.file);
      // of long names, attributes and the like there is more than one spelling
      if (name !== 'odd') sameFile(t, back, source.file, 'the layer as it was');
      else t.same(await bench.members(t, back), await bench.members(t, source.file));
      if (name !== 'mixed') return;
      const again = await bench.pack(t, source, { FsVersion });
      t.equal(again.digest, packed.digest, 'the same bytes again');
    });
  }
}

/** Options of the client, what it must have made of them, and what it cannot read of the result. */
const VARIANTS: readonly {
  what: string;
  options: Record<string, unknown>;
  argument: string;
  not?: 'tables' | 'batches';
  /** a merge has to do something else with it than with others */
  merges?: true;
}[] = [
  { what: 'stored', options: { Compressor: 'none' }, argument: '--compressor none' },
  {
    what: 'lz4_block',
    options: { Compressor: 'lz4_block' },
    argument: '--compressor lz4_block',
    merges: true,
    not: 'tables',
  },
  {
    what: 'zstd',
    options: { Compressor: 'zstd', ChunkSize: '0x100000' },
    argument: '--compressor zstd --chunk-size 0x100000',
  },
  {
    what: 'small chunks',
    options: { ChunkSize: '0x1000' },
    argument: '--chunk-size 0x1000',
    merges: true,
  },
  {
    what: 'large chunks',
    options: { ChunkSize: '0x200000' },
    argument: '--chunk-size 0x200000',
    merges: true,
  },
  {
    what: 'v5, aligned chunks',
    options: { FsVersion: '5', AlignedChunk: true },
    argument: '--aligned-chunk',
    merges: true,
  },
  {
    what: 'v5, stored, small chunks',
    options: { FsVersion: '5', Compressor: 'none', ChunkSize: '0x1000' },
    argument: '--compressor none --chunk-size 0x1000',
  },
  {
    what: 'v5, lz4_block',
    options: { FsVersion: '5', Compressor: 'lz4_block' },
    argument: '--compressor lz4_block',
  },
  {
    what: 'batches',
    options: { BatchSize: '0x100000', ChunkSize: '0x100000' },
    argument: '--batch-size 0x100000',
    merges: true,
    not: 'batches',
  },
  { what: 'no batches', options: { BatchSize: '0' }, argument: '--type tar-rafs' },
  {
    what: 'encrypted, stored',
    options: { Encrypt: true, Compressor: 'none' },
    argument: '--encrypt',
    not: 'tables',
  },
  {
    what: 'encrypted batches',
    options: { Encrypt: true, BatchSize: '0x100000' },
    argument: '--batch-size 0x100000 --encrypt',
    merges: true,
    not: 'batches',
  },
  {
    what: 'other prefetch patterns',
    options: { PrefetchPatterns: '/dir\n/small-1' },
    argument: '--prefetch-policy fs',
  },
];

for (const { what, options, argument, not, merges } of VARIANTS) {
  bench.test(`options of the client: ${what}`, async t => {
    const source = await bench.layer('mixed');
    const variant: Record<string, unknown> = { FsVersion: '6', ...options };
    const packed = await bench.packed(t, 'mixed', variant);
    t.ok(packed.commands.includes(argument), 'the client has not dropped it');
    if (!not) await bench.checkSections(t, packed, { toc: variant.FsVersion === '6' });
    if (merges) {
      const merged = await bench.merge(t, [packed], { warns: true });
      t.same(merged.digests, [packed.digest]);
      await isSound(t, merged.file);
    }
    if (not !== 'batches') {
      sameFile(t, await bench.unpack(t, packed.file), source.file, 'the layer as it was');
      return;
    }
    // the client keeps back the table that says where they are, except for a stream
    const Target = path.join(temporaryDirectory(t), 'oci.tar');
    await bench.fails(t, { Op: 'unpack', Source: packed.file, Target }, /exit status 1/);
    await succeed(t, [...UNPACK, packed.file, '--blob', packed.file, '--output', Target]);
    sameFile(t, Target, source.file, 'without the client');
  });
}

bench.test('what is encrypted cannot be read, and is other bytes each time', async t => {
  const words = Buffer.from('line 12 of some words');
  const stored = { FsVersion: '6', Compressor: 'none' };
  const plain = await bench.packed(t, 'mixed', stored);
  t.ok(fs.readFileSync(plain.file).includes(words));
  const encrypted = { FsVersion: '6', Encrypt: true, Compressor: 'none' };
  const secret = await bench.packed(t, 'mixed', encrypted);
  t.notOk(fs.readFileSync(secret.file).includes(words));
  const again = await bench.pack(t, await bench.layer('mixed'), encrypted);
  t.not(again.digest, secret.digest, 'a blob has a key of its own');
});

/** Why streaming cannot be tested; false if it can. The refusal is the only reason. */
const withoutStreaming = async (): Promise<string | false> => {
  const argv = ['--bootstrap', '/none', '--output', '/none', '--backend-type', 'http-proxy'];
  const { stderr } = await cli(['unpack', ...argv, '--backend-config', '{"addr":"/none"}']);
  return stderr.includes('--backend-type is not supported by this version')
    ? 'unpack has no backend http-proxy yet'
    : false;
};

bench.test('streaming', async t => {
  const noStreaming = await withoutStreaming();
  for (const FsVersion of ['5', '6']) {
    for (const name of ['upper', 'mixed', 'directories']) {
      await t.test(`v${FsVersion}: ${name}`, { skip: noStreaming }, async t => {
        const source = await bench.layer(name);
        const packed = await bench.packed(t, name, { FsVersion });
        // a socket's name is short
        const WorkDir = temporaryDirectory(t);
        const back = await bench.unpack(t, packed.file, { Stream: true, WorkDir });
        sameFile(t, back, source.file, 'the layer as it was');
      });
    }
  }
});

for (const gzip of [false, true]) {
  for (const name of ['mixed', 'odd', 'directories']) {
    bench.test(`${gzip ? 'a gzip' : 'a tar'} only referred to: ${name}`, async t => {
      const source = await bench.layer(name, gzip);
      const packed = await bench.pack(t, source, { OCIRef: true });
      t.equal(`sha256:${fileDigest(packed.file)}`, packed.digest, 'the digest is of the blob');
      t.match(packed.commands, '--type targz-ref --blob-inline-meta --features blob-toc --blob');
      const none = name === 'directories';
      await bench.checkSections(t, packed, { toc: true, without: none ? NO_DATA : ['image.blob'] });
      const options = { OCIRef: true, FsVersion: '6', WithTar: true, warns: none };
      const merged = await bench.merge(t, [{ ...packed, original: source.digest }], options);
      t.same(merged.digests, none ? [] : [source.digest], 'the digest of the layer itself');
      const tables = none ? [] : [packed];
      await isSound(t, await bench.bootstrapIn(t, merged.file, tables));
      if (name !== 'mixed') return;
      const again = await bench.pack(t, source, { OCIRef: true });
      t.equal(again.digest, packed.digest, 'the same bytes again');
    });
  }
}
