/**
 * The library by which containerd converts images calls us as its builder, through its FIFOs, and
 * reads what we write. Everything is compared with the layer that went in, or with its digests.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { succeed } from '../support/cli.js';
import { temporaryDirectory } from '../support/fs.js';
import { buildClient, GoClient, type Answer, type Request } from '../support/go-client.js';
import { randomBytes } from '../support/random.js';

const home = temporaryDirectory(t);
const missing = buildClient(home);
const skip = missing ?? false;

/** It builds the client first, and every answer is a process or more. */
t.setTimeout(900_000);
const client = new GoClient(home);

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const fileDigest = (file: string): string => sha256(fs.readFileSync(file));

/** Asks for what must go well, and returns the answer and how the builder was called. */
const does = async (
  t: Test,
  request: Request,
  { warns = false }: { warns?: boolean } = {},
): Promise<Answer & { commands: string }> => {
  const { answer, commands, log, hung } = await client.ask(request);
  t.equal(hung, false, `${request.Op} ends`);
  t.equal(answer.Error, undefined, `${request.Op}: no error${answer.Error ? `\n${log}` : ''}`);
  const complaint = warns ? /level=error/ : /level=(warning|error)/;
  t.notMatch(log, complaint, `${request.Op}: nothing missing, nothing failed`);
  return { ...answer, commands: commands.join('\n') };
};

/** Asks for what must fail: by itself, and with an error. */
const fails = async (t: Test, request: Request, says: RegExp): Promise<void> => {
  const { answer, log, hung } = await client.ask(request);
  t.equal(hung, false, 'ends by itself');
  t.match(answer.Error, /./, 'the client is told');
  t.match(`${answer.Error}\n${log}`, says, 'and why');
};

interface LayerFile {
  file: string;
  /** of the file */
  digest: string;
}

const layers = new Map<string, Promise<LayerFile>>();

/** A layer that the client makes, as a tar or a tar.gz; once each. */
const layerOf = (name: string, gzip = false): Promise<LayerFile> => {
  const file = path.join(home, `${name}.tar${gzip ? '.gz' : ''}`);
  const made = layers.get(file) ?? makeLayer(name, file, gzip);
  layers.set(file, made);
  return made;
};

const makeLayer = async (name: string, file: string, gzip: boolean): Promise<LayerFile> => {
  const { answer } = await client.ask({ Op: 'layer', Layer: name, Target: file, Gzip: gzip });
  return { file, digest: answer.Digest! };
};

interface Packed {
  file: string;
  digest: string;
  commands: string;
}

const pack = async (t: Test, source: LayerFile, options: object): Promise<Packed> => {
  const { Path, Digest, commands } = await does(t, {
    Op: 'pack',
    Source: source.file,
    TargetDir: temporaryDirectory(t),
    ...options,
  });
  return { file: Path!, digest: Digest!, commands };
};

/** Packs twice: the blob must be the same. */
const packTwice = async (t: Test, source: LayerFile, options: object): Promise<Packed> => {
  const packed = await pack(t, source, options);
  const again = await pack(t, source, options);
  t.equal(again.digest, packed.digest, 'the same bytes again');
  t.equal(`sha256:${fileDigest(packed.file)}`, packed.digest, 'the digest is of the blob');
  return packed;
};

const unpack = async (t: Test, file: string, options: object = {}): Promise<string> => {
  const Target = path.join(temporaryDirectory(t), 'oci.tar');
  await does(t, { Op: 'unpack', Source: file, Target, ...options });
  return Target;
};

/** Compared as bytes, which are not printed if they differ. */
const sameFile = (t: Test, found: string, wanted: string, what: string): void => {
  t.equal(fs.statSync(found).size, fs.statSync(wanted).size, `${what}: size`);
  t.equal(fileDigest(found), fileDigest(wanted), what);
};

const membersOf = async (t: Test, file: string, into?: string) =>
  (await does(t, { Op: 'list', Source: file, ...(into ? { TargetDir: into } : {}) })).Members!;

interface Merged {
  file: string;
  digests: readonly string[];
}

const mergeRequest = (
  t: Test,
  packed: readonly (Packed & { original?: string })[],
  options: object = {},
): Request & { Target: string } => ({
  Op: 'merge',
  Target: path.join(temporaryDirectory(t), 'merged'),
  Layers: packed.map(({ file, original }) => ({ Path: file, Original: original })),
  ...options,
});

const merge = async (
  t: Test,
  packed: readonly (Packed & { original?: string })[],
  { warns = false, ...options }: { warns?: boolean; [option: string]: unknown } = {},
): Promise<Merged> => {
  const request = mergeRequest(t, packed, options);
  const { Digests = [] } = await does(t, request, { warns });
  return { file: request.Target, digests: Digests };
};

const CHECK = ['check', '--log-level', 'warn', '--bootstrap'];
const UNPACK = ['unpack', '--log-level', 'warn', '--bootstrap'];

const isSound = (t: Test, bootstrap: string) => succeed(t, [...CHECK, bootstrap]);

/** What an image has: names of directories, and digests of files by name. */
const treeOf = async (
  t: Test,
  bootstrap: string,
  packed: readonly Packed[],
): Promise<Record<string, string | undefined>> => {
  const directory = temporaryDirectory(t);
  for (const { file } of packed) fs.symlinkSync(file, path.join(directory, path.basename(file)));
  const tar = path.join(directory, 'tar');
  await succeed(t, [...UNPACK, bootstrap, '--blob-dir', directory, '--output', tar]);
  const members = await membersOf(t, tar);
  return Object.fromEntries(members.map(({ Name, Digest }) => [Name, Digest]));
};

/** Sections that a v6 blob must have; the table of contents tells of all but itself. */
const SECTIONS = ['image.boot', 'blob.meta', 'blob.meta.header', 'blob.digest', 'image.blob'];

/** Those that a layer without data has not. */
const NO_DATA = SECTIONS.filter(name => name !== 'image.boot');

/** Sections as the client reads them: digests and sizes are those of the table of contents. */
const checkSections = async (
  t: Test,
  packed: Packed,
  { toc, without = [] }: { toc: boolean; without?: readonly string[] },
): Promise<void> => {
  const { Sections = {} } = await does(t, { Op: 'sections', Source: packed.file });
  t.equal(Sections['rafs.blob.toc']?.Found, toc, 'a table of contents');
  const names = toc ? SECTIONS : ['image.boot', 'image.blob'];
  const found = Object.keys(Sections).filter(name => Sections[name]!.Found);
  const wanted = names.filter(name => !without.includes(name));
  t.same(found.sort(), [...wanted, ...(toc ? ['rafs.blob.toc'] : [])].sort());
  for (const name of wanted) {
    const { Size, Digest, TOC } = Sections[name]!;
    if (!toc) {
      t.equal(TOC, null, `${name} is found by its header`);
      continue;
    }
    // what the table has for the chunks is not of the bytes that are there: their unpacked size, and
    // a digest of them and their header
    if (name === 'image.blob') {
      t.match(TOC, { CompressedOffset: 0, CompressedSize: Size });
      continue;
    }
    t.match(TOC, { UncompressedSize: Size, Digest }, name);
    if (name === 'blob.meta.header') t.equal(Size, 0x1000);
  }
};

t.test('finds what it looks for in our help', { skip }, async t => {
  const { Features = [], commands } = await does(t, { Op: 'features' });
  t.same([...Features].sort(), ['--batch-size', '--encrypt', '--type tar-rafs']);
  t.equal(commands, 'create -h');
});

t.test('finds us by name', { skip }, async t => {
  const source = await layerOf('mixed');
  const packed = await pack(t, source, { Builder: '' });
  t.equal(packed.commands, '', 'not through the launcher');
  t.equal(packed.digest, (await pack(t, source, {})).digest);
});

for (const version of ['5', '6']) {
  for (const name of ['lower', 'upper', 'mixed', 'directories', 'odd']) {
    t.test(`v${version}: a layer there and back: ${name}`, { skip }, async t => {
      const source = await layerOf(name);
      const packed = await packTwice(t, source, { FsVersion: version });
      t.match(packed.commands, `--fs-version ${version} --type tar-rafs --blob-inline-meta`);
      await checkSections(t, packed, {
        toc: version === '6',
        without: name === 'directories' ? NO_DATA : [],
      });
      const back = await unpack(t, packed.file);
      // of long names, attributes and the like there is more than one spelling
      if (name === 'odd') t.same(await membersOf(t, back), await membersOf(t, source.file));
      else sameFile(t, back, source.file, 'the layer as it was');
    });
  }
}

/** Options of the client, what it must have made of them, and what it cannot read of the result. */
const VARIANTS: readonly {
  what: string;
  options: Record<string, unknown>;
  argument: string;
  not?: 'tables' | 'batches';
}[] = [
  { what: 'stored', options: { Compressor: 'none' }, argument: '--compressor none' },
  {
    what: 'lz4_block',
    options: { Compressor: 'lz4_block' },
    argument: '--compressor lz4_block',
    not: 'tables',
  },
  {
    what: 'zstd',
    options: { Compressor: 'zstd', ChunkSize: '0x100000' },
    argument: '--compressor zstd --chunk-size 0x100000',
  },
  { what: 'small chunks', options: { ChunkSize: '0x1000' }, argument: '--chunk-size 0x1000' },
  { what: 'large chunks', options: { ChunkSize: '0x200000' }, argument: '--chunk-size 0x200000' },
  {
    what: 'v5, aligned chunks',
    options: { FsVersion: '5', AlignedChunk: true },
    argument: '--aligned-chunk',
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
    not: 'batches',
  },
  {
    what: 'other prefetch patterns',
    options: { PrefetchPatterns: '/dir\n/small-1' },
    argument: '--prefetch-policy fs',
  },
];

t.test('options of the client', { skip }, async t => {
  const source = await layerOf('mixed');
  for (const { what, options, argument, not } of VARIANTS) {
    await t.test(what, async t => {
      const variant: Record<string, unknown> = { FsVersion: '6', ...options };
      const packed = await pack(t, source, variant);
      t.ok(packed.commands.includes(argument), 'the client has not dropped it');
      // a blob has a key of its own
      const again = await pack(t, source, variant);
      t.equal(again.digest === packed.digest, !variant.Encrypt, 'the same bytes again');
      if (!not) await checkSections(t, packed, { toc: variant.FsVersion === '6' });
      const merged = await merge(t, [packed], { warns: true });
      t.same(merged.digests, [packed.digest]);
      await isSound(t, merged.file);
      if (not === 'batches') {
        // the client keeps back the table that says where they are, except for a stream
        await fails(
          t,
          { Op: 'unpack', Source: packed.file, Target: `${home}/none` },
          /exit status 1/,
        );
        const Target = path.join(temporaryDirectory(t), 'oci.tar');
        await succeed(t, [...UNPACK, packed.file, '--blob', packed.file, '--output', Target]);
        sameFile(t, Target, source.file, 'without the client');
      } else sameFile(t, await unpack(t, packed.file), source.file, 'the layer as it was');
    });
  }
  await t.test('what is encrypted cannot be read', async t => {
    const words = Buffer.from('line 12 of some words');
    const plain = await pack(t, source, { Compressor: 'none' });
    t.ok(fs.readFileSync(plain.file).includes(words));
    const secret = await pack(t, source, { Compressor: 'none', Encrypt: true });
    t.notOk(fs.readFileSync(secret.file).includes(words));
  });
});

t.test('streaming', { skip }, async t => {
  for (const version of ['5', '6']) {
    for (const name of ['upper', 'mixed', 'directories']) {
      await t.test(`v${version}: ${name}`, async t => {
        const source = await layerOf(name);
        const packed = await pack(t, source, { FsVersion: version });
        // a socket's name is short
        const WorkDir = temporaryDirectory(t);
        const back = await unpack(t, packed.file, { Stream: true, WorkDir });
        sameFile(t, back, source.file, 'the layer as it was');
      });
    }
  }
});

t.test('a layer that is only referred to', { skip }, async t => {
  for (const gzip of [false, true]) {
    for (const name of ['mixed', 'odd', 'directories']) {
      await t.test(`${name}, ${gzip ? 'gzip' : 'tar'}`, async t => {
        const source = await layerOf(name, gzip);
        const packed = await packTwice(t, source, { OCIRef: true });
        t.match(packed.commands, '--type targz-ref --blob-inline-meta --features blob-toc --blob');
        const none = name === 'directories';
        await checkSections(t, packed, { toc: true, without: none ? NO_DATA : ['image.blob'] });
        const options = { OCIRef: true, FsVersion: '6', WithTar: true, warns: none };
        const merged = await merge(t, [{ ...packed, original: source.digest }], options);
        t.same(merged.digests, none ? [] : [source.digest], 'the digest of the layer itself');
        const tables = none ? [] : [packed];
        await isSound(t, await bootstrapIn(t, merged.file, tables));
      });
    }
  }
});

/** Takes the bootstrap out of a tar, which has the tables of some blobs beside it. */
const bootstrapIn = async (t: Test, tar: string, tables: readonly Packed[]): Promise<string> => {
  const into = temporaryDirectory(t);
  const members = await membersOf(t, tar, into);
  const names = tables.map(({ file }) => `image/${path.basename(file)}.blob.meta`);
  t.same(
    members.map(({ Name }) => Name.replace(/\/$/, '')),
    ['image', 'image/image.boot', ...names],
  );
  for (const { file } of tables) {
    const { Sections = {} } = await does(t, { Op: 'sections', Source: file });
    const padded = Math.ceil(Sections['blob.meta']!.Size / 0x1000) * 0x1000;
    const table = path.join(into, `${path.basename(file)}.blob.meta`);
    t.equal(fs.statSync(table).size, padded + 0x1000, 'a table and its header');
  }
  return path.join(into, 'image.boot');
};

const text = (words: string): string => sha256(Buffer.from(words));

/** What the layers `lower` and `upper` make. */
const STACK = {
  'dir-1': undefined,
  ...Object.fromEntries(
    [2, 3, 4, 5, 6, 7, 8, 9].map(i => [`dir-1/file-${i}`, text(`lower-file-${i}`)]),
  ),
  'dir-2': undefined,
  'dir-2/file-2': text('upper-file-2'),
  'dir-2/file-3': text('upper-file-3'),
};

t.test('layers over each other', { skip }, async t => {
  for (const version of ['5', '6']) {
    await t.test(`v${version}`, async t => {
      const options = { FsVersion: version };
      const packed = [];
      for (const name of ['directories', 'lower', 'upper']) {
        packed.push(await pack(t, await layerOf(name), options));
      }
      const [directories, lower, upper] = packed as [Packed, Packed, Packed];

      const merged = await merge(t, [lower, upper]);
      t.same(merged.digests, [lower.digest, upper.digest]);
      await isSound(t, merged.file);
      const tree = await treeOf(t, merged.file, packed);
      t.match(tree, STACK);
      const names = [...Object.keys(STACK), 'dir-2/file-1'].sort();
      t.same(Object.keys(tree).sort(), names, 'and nothing else');

      const first = await merge(t, [lower]);
      const onParent = await merge(t, [upper], { ParentBootstrap: first.file });
      t.same(onParent.digests, [lower.digest, upper.digest], 'the blobs of the parent come first');
      t.same(await treeOf(t, onParent.file, packed), tree, 'over a parent the same');

      const all = await merge(t, packed);
      t.same(all.digests, [lower.digest, upper.digest], 'without data there is no blob');
      const allOf = await treeOf(t, all.file, packed);
      t.same(allOf, { ...tree, a: undefined, 'a/b': undefined, c: undefined });

      const tarred = await merge(t, packed, { ...options, WithTar: true, warns: true });
      const tables = version === '6' ? [lower, upper] : [];
      const bootstrap = await bootstrapIn(t, tarred.file, tables);
      t.equal(fileDigest(bootstrap), fileDigest(all.file), 'in a tar the same');
      t.not(directories.digest, lower.digest);
    });
  }
});

t.test('a dictionary', { skip }, async t => {
  for (const version of ['5', '6']) {
    await t.test(`v${version}`, async t => {
      const options = { FsVersion: version };
      const dict = await pack(t, await layerOf('dict'), options);
      const known = await merge(t, [dict]);
      const withDict = { ...options, ChunkDict: known.file };
      const lower = await packTwice(t, await layerOf('lower'), withDict);
      const upper = await packTwice(t, await layerOf('upper'), withDict);
      t.match(upper.commands, `--chunk-dict bootstrap=${known.file}`);
      t.ok(fs.statSync(upper.file).size < 0x10000, 'what is known is not stored');
      await checkSections(t, lower, {
        toc: version === '6',
        // the table of a blob of others is in that blob
        without: NO_DATA,
      });
      const merged = await merge(t, [lower, upper], { ChunkDict: known.file });
      t.same(merged.digests, [dict.digest, upper.digest], 'of the lower layer all is known');
      await isSound(t, merged.file);
      t.match(await treeOf(t, merged.file, [dict, lower, upper]), STACK);
    });
  }
});

t.test('images as containerd converts them', { skip }, async t => {
  const sources = await Promise.all(['directories', 'lower', 'upper'].map(name => layerOf(name)));
  const Layers = sources.map(({ file }) => ({ Path: file }));
  for (const FsVersion of ['5', '6']) {
    await t.test(`v${FsVersion}, there and back`, async t => {
      const WorkDir = temporaryDirectory(t);
      const { Image } = await does(t, { Op: 'image', WorkDir, FsVersion, Layers }, { warns: true });
      const { Converted, Reconverted } = Image!;
      t.equal(Converted.Layers.length, sources.length + 1);
      for (const { digest, mediaType } of Converted.Layers.slice(0, -1)) {
        t.equal(mediaType, 'application/vnd.oci.image.layer.nydus.blob.v1');
        t.ok(fs.existsSync(path.join(WorkDir, 'store/blobs', digest.replace(':', '/'))), digest);
      }
      t.match(Converted.Layers.at(-1)!.annotations, {
        'containerd.io/snapshot/nydus-bootstrap': 'true',
        'containerd.io/snapshot/nydus-fs-version': FsVersion,
      });
      t.equal(Converted.DiffIDs.length, sources.length + 1);
      const digests = sources.map(({ digest }) => digest);
      t.same(
        Reconverted.Layers.map(layer => layer.digest),
        digests,
        'the layers as they were',
      );
      t.same(Reconverted.DiffIDs, digests);
    });
  }
  await t.test('layers that are only referred to', async t => {
    const WorkDir = temporaryDirectory(t);
    const gzip = await layerOf('mixed', true);
    const plain = await layerOf('mixed');
    const layers = [...Layers, { Path: gzip.file, Original: plain.digest }];
    const request = { WorkDir, FsVersion: '6', OCIRef: true, Layers: layers } as const;
    const { Image } = await does(t, { Op: 'image', ...request }, { warns: true });
    t.same(
      Image!.Converted.Layers.slice(0, -1).map(
        ({ annotations }) => annotations['containerd.io/snapshot/nydus-ref'],
      ),
      [...sources, gzip].map(({ digest }) => digest),
    );
  });
});

/** A copy of a file, cut or with other bytes in it. */
const spoiled = (t: Test, file: string, spoil: (bytes: Buffer) => Buffer): LayerFile => {
  const copy = path.join(temporaryDirectory(t), path.basename(file));
  fs.writeFileSync(copy, spoil(fs.readFileSync(file)));
  return { file: copy, digest: '' };
};

const flipped = (bytes: Buffer, at: number): Buffer => {
  bytes[at]! ^= 0x55;
  return bytes;
};

t.test('what fails does not leave the client waiting', { skip }, async t => {
  const source = await layerOf('mixed');
  const gzip = await layerOf('mixed', true);
  const packs: readonly [what: string, source: string, options: object, says: RegExp][] = [
    ['no tar', spoiled(t, source.file, () => randomBytes(0x10000, 1)).file, {}, /exit status 1/],
    [
      'half a tar',
      spoiled(t, source.file, tar => tar.subarray(0, 0x100000)).file,
      {},
      /exit status 1/,
    ],
    [
      'a header that is wrong',
      spoiled(t, source.file, tar => flipped(tar, 600)).file,
      {},
      /exit status/,
    ],
    [
      'half a gzip',
      spoiled(t, gzip.file, bytes => bytes.subarray(0, 0x80000)).file,
      { OCIRef: true },
      /exit status 1/,
    ],
    ['a size that is no power of two', source.file, { ChunkSize: '0x1234' }, /exit status/],
    ['a compressor that there is not', source.file, { Compressor: 'brotli' }, /exit status/],
    ['no dictionary', source.file, { ChunkDict: '/none/at/all' }, /exit status 1/],
    ['an option of v6', source.file, { FsVersion: '5', BatchSize: '0x4000' }, /only be supported/],
    ['an end that does not come', '/dev/zero', { Timeout: 4000 }, /signal: killed/],
  ];
  for (const [what, Source, options, says] of packs) {
    await t.test(`pack: ${what}`, async t => {
      const TargetDir = temporaryDirectory(t);
      await fails(t, { Op: 'pack', FsVersion: '6', Source, TargetDir, ...options }, says);
    });
  }

  const packed = await pack(t, source, { FsVersion: '6' });
  const v5 = await pack(t, await layerOf('upper'), { FsVersion: '5' });
  const { Sections = {} } = await does(t, { Op: 'sections', Source: packed.file });
  const bootstrapAt = Sections['image.boot']!.TOC!.CompressedOffset;
  const blobs: readonly [what: string, file: string, options: object, says: RegExp][] = [
    ['a chunk', spoiled(t, packed.file, blob => flipped(blob, 0x100000)).file, {}, /exit status 1/],
    ['a v5 chunk', spoiled(t, v5.file, blob => flipped(blob, 0x100000)).file, {}, /exit status 1/],
    ['a bootstrap', spoiled(t, packed.file, blob => flipped(blob, bootstrapAt + 30)).file, {}, /./],
    ['half a blob', spoiled(t, packed.file, blob => blob.subarray(0, 0x100000)).file, {}, /./],
  ];
  for (const [what, Source, options, says] of blobs) {
    await t.test(`unpack: ${what}`, async t => {
      const Target = path.join(temporaryDirectory(t), 'tar');
      await fails(t, { Op: 'unpack', Source, Target, ...options }, says);
    });
  }

  await t.test('merge: versions that do not go together', async t => {
    await fails(t, mergeRequest(t, [packed, v5]), /exit status 2/);
  });
  await t.test('merge: no parent', async t => {
    const request = mergeRequest(t, [packed], { ParentBootstrap: '/none/at/all' });
    await fails(t, request, /exit status 1/);
  });
});
