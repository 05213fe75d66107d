import t from 'tap';
import fc from 'fast-check';
import { parseCommandLine } from '../../../bin/cli/command-line.js';
import { planBuild, type BuildOptions, type PathKind } from '../../../lib/config/build.js';
import { exitStatus, RafsError } from '../../../lib/errors.js';
import { conversionType, TYPE_NAMES, type TypeName } from '../../../lib/config/conversions.js';

const KINDS: Readonly<Record<string, PathKind>> = {
  dir: 'directory',
  src: 'directory',
  tar: 'file',
  fifo: 'fifo',
  tty: 'char',
  socket: 'other',
};

const kindOf = (path: string): PathKind => {
  const kind = KINDS[path];
  if (!kind) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
  return kind;
};

/** The plan for a command line; the last argument is SOURCE. */
const plan = (text: string): BuildOptions => {
  const result = parseCommandLine(['create', ...text.split(' ')], 'nydus-image');
  if (!('command' in result) || result.command !== 'create') throw new Error('no create');
  const { values, explicit, positionals } = result;
  return planBuild({ values, explicit, source: positionals[0]!, kindOf });
};

const refusal = (text: string): string => {
  try {
    plan(text);
  } catch (error) {
    if (!(error instanceof Error) || exitStatus(error) !== 1) throw error;
    return error.message;
  }
  return 'accepted';
};

t.test('defaults', async t => {
  t.strictSame(plan('-D dir src'), {
    mode: 'native',
    source: 'dir',
    type: 'dir-rafs',
    fsVersion: 6,
    chunkSize: 0x100000,
    batchSize: 0,
    compressor: 'zstd',
    digester: 'blake3',
    features: { blobToc: false, inlineMeta: false },
    explicitUidGid: true,
    whiteoutSpec: 'oci',
    prefetchPolicy: 'none',
    blobId: undefined,
    blobOffset: 0,
    blobDataSize: undefined,
    encrypt: false,
    alignedChunk: true,
    paths: {
      source: 'src',
      bootstrap: undefined,
      blob: undefined,
      blobDir: 'dir',
      blobCacheDir: undefined,
      externalBlob: undefined,
      chunkDict: undefined,
      parentBootstrap: undefined,
      attributes: undefined,
      config: undefined,
      outputJson: undefined,
    },
    notices: [],
  });
});

t.test('everything given', async t => {
  t.match(
    plan(
      '-t tar-rafs -B boot -b blob --external-blob ext --blob-id id --blob-offset 16 --chunk-size 65536 ' +
        '--batch-size 0x1000 --compressor lz4_block --digester sha256 -C conf --features blob-toc ' +
        '--chunk-dict bootstrap=d --parent-bootstrap p --repeatable --whiteout-spec none ' +
        '--prefetch-policy blob -J json -E --attributes attr fifo',
    ),
    {
      ...{ mode: 'native', source: 'tar', type: 'tar-rafs', chunkSize: 0x10000, batchSize: 0x1000 },
      ...{ compressor: 'lz4_block', digester: 'sha256', features: { blobToc: true } },
      ...{ explicitUidGid: false, whiteoutSpec: 'none', prefetchPolicy: 'blob', blobId: 'id' },
      ...{ blobOffset: 16, encrypt: true },
      paths: {
        ...{ source: 'fifo', bootstrap: 'boot', blob: 'blob', externalBlob: 'ext' },
        ...{ chunkDict: 'bootstrap=d', parentBootstrap: 'p', attributes: 'attr' },
        ...{ config: 'conf', outputJson: 'json' },
      },
    },
  );
});

t.test('what types decide', async t => {
  t.match(plan('-t targz-ref --compressor zstd -D dir tar'), {
    ...{ mode: 'zran', source: 'tar', compressor: 'gzip', digester: 'sha256', alignedChunk: true },
    notices: [/^only GZip is supported for conversion type targz-ref/],
  });
  t.match(plan('-t tar-tarfs --blob-id x -D dir tar'), {
    ...{ mode: 'tarfs', compressor: 'none', digester: 'sha256', alignedChunk: false, blobId: 'x' },
    notices: { length: 0 },
  });
  t.match(plan('-t stargz_index --blob-id x --blob-data-size e916e -B boot tar'), {
    ...{ source: 'toc', type: 'estargztoc-ref', chunkSize: 0x400000, blobDataSize: 0xe916e },
  });
  t.equal(plan('-t directory -D dir src').type, 'dir-rafs');
  t.equal(plan('-v 5 -D dir src').alignedChunk, false);
  t.equal(plan('-v 5 --aligned-chunk -D dir src').alignedChunk, true);
  t.equal(plan('-t tar-rafs --blob-cache-dir dir -B boot tar').compressor, 'none');
  t.equal(plan('-t targz-ref --blob-cache-dir dir -B boot tar').compressor, 'none');
  t.equal(plan('-t tar-rafs --parent-bootstrap= -D dir tar').paths.parentBootstrap, undefined);
});

// in the order in which they are made
const FAILURES: readonly (readonly [string, string])[] = [
  [`-D dir --blob-id ${'x'.repeat(256)} src`, 'blob id is limited to length 255'],
  [`-D dir --blob-id ${'é'.repeat(128)} src`, 'blob id is limited to length 255'],
  [`-D dir --blob-offset x src`, 'invalid blob offset x'],
  [`-D dir --blob-offset 0x10 src`, 'invalid blob offset 0x10'],
  [`-D dir --blob-offset ${'9'.repeat(30)} src`, `invalid blob offset ${'9'.repeat(30)}`],
  ['-D dir --chunk-size x src', 'invalid chunk size x'],
  ['-D dir --chunk-size= src', 'invalid chunk size '],
  ['-D dir --chunk-size=-1 src', 'invalid chunk size -1'],
  ['-D dir --chunk-size 0x1001 src', 'invalid chunk size: 4097'],
  ['-D dir --chunk-size 0x800 src', 'invalid chunk size: 2048'],
  ['-D dir --chunk-size 0x2000000 src', 'invalid chunk size: 33554432'],
  ['-D dir --chunk-size 0 src', 'invalid chunk size: 0'],
  ['-D dir --batch-size 1e3 src', 'invalid batch size 1e3'],
  [
    '-D dir -v 5 --batch-size 0x1000 src',
    '`--batch-size` with non-zero value conflicts with `--fs-version 5`',
  ],
  ['-D dir --batch-size 0x1001 src', 'invalid batch size: 4097'],
  ['-D dir --batch-size 1 src', 'invalid batch size: 1'],
  [
    '-D dir --batch-size 0x40000 --chunk-size 0x20000 src',
    'batch size 0x40000 is bigger than chunk size 0x20000',
  ],
  [
    '-t targz-ref --batch-size 0x40000 -D dir tar',
    'unsupported ConversionType for batch chunk: targz-ref',
  ],
  [
    '-t stargz_index --blob-id x --batch-size 0x1000 -D dir tar',
    'unsupported ConversionType for batch chunk: estargztoc-ref',
  ],
  ...['tar-tarfs', 'estargztoc-ref', 'estargz-rafs', 'estargz-ref'].map(
    type =>
      [
        `-t ${type} --blob-id x -B boot --blob-cache-dir dir tar`,
        `conversion type \`${type}\` conflicts with \`--blob-cache-dir\``,
      ] as const,
  ),
  ['-t tar-rafs -B boot --blob-cache-dir none tar', 'directory to store blob cache does not exist'],
  ['-t tar-tarfs -B boot -b blob tar', 'conversion type `tar-tarfs` conflicts with `--blob`'],
  ['-D none src', 'directory to store blobs does not exist'],
  ['-D tar src', 'directory to store blobs does not exist'],
  ['--blob-dir= src', 'directory to store blobs does not exist'],
  [
    '-t tar-rafs -B boot tar',
    'both --blob and --blob-dir are missing, please specify one to store the generated data blob file',
  ],
  ['-t stargz_index --blob-id x -B boot tar', "no value specified for '--blob-data-size'"],
  ['-t stargz_index --blob-id x --blob-data-size 0xg -B boot tar', 'invalid blob data size 0xg'],
  ['-D dir none', 'failed to access path "none"'],
  ['-D dir tar', 'specified path must be a directory: "tar"'],
  ['-t tar-rafs -D dir src', 'specified path must be a regular/fifo/char_device file: "src"'],
  ['-t tar-rafs -D dir socket', 'specified path must be a regular/fifo/char_device file: "socket"'],
  [
    '-t targz-ref --prefetch-policy blob -D dir tar',
    "conversion type targz-ref conflicts with '--prefetch-policy blob'",
  ],
  [
    '-v 5 --features blob-toc -D dir src',
    "`--features blob-toc` can't be used with `--version 5` ",
  ],
  ['-v 5 --encrypt -D dir src', "`--encrypt` can't be used with `--version 5`"],
  ['-b blob -D none src', 'Directory to store blobs does not exist'],
];

t.test('what does not go together, word by word', async t => {
  for (const [argv, message] of FAILURES) t.equal(refusal(argv), message, argv);
});

t.test('of two failures, the earlier check', async t => {
  for (const [argv, message] of [
    ['--blob-offset x --chunk-size x -D none none', 'invalid blob offset x'],
    ['--chunk-size x --batch-size x -D none none', 'invalid chunk size x'],
    ['--batch-size x -D none none', 'invalid batch size x'],
    ['-D none none', 'directory to store blobs does not exist'],
    ['-t targz-ref --blob-id x -D dir none', 'failed to access path "none"'],
    [
      '-t targz-ref -v 5 --features blob-toc -b x -D none tar',
      "'--fs-version 5' conflicts with conversion type 'targz-ref', only V6 is supported",
    ],
  ] as const) {
    t.equal(refusal(argv), message, argv);
  }
});

t.test('the system says why SOURCE cannot be had', async t => {
  t.throws(() => plan('-D dir none'), {
    message: 'failed to access path "none"',
    cause: { code: 'ENOENT' },
  });
});

t.test('a number has its reason beside it', async t => {
  t.throws(() => plan('-D dir --blob-offset x src'), {
    code: 'LIMIT',
    cause: { message: 'invalid digit found in string' },
  });
});

t.test('neither place for a bootstrap', async t => {
  const result = parseCommandLine(['create', '-b', 'blob', '-D', 'dir', 'src'], 'p');
  if (!('command' in result) || result.command !== 'create') throw new Error('no create');
  const values = { ...result.values, 'blob-dir': undefined };
  t.throws(() => planBuild({ values, explicit: new Set(), source: 'src', kindOf }), {
    message:
      'both --bootstrap and --blob-dir are missing, please specify one to store the generated metadata blob file',
  });
});

t.test('SOURCE may be whatever can be read from front to back', async t => {
  for (const source of ['tar', 'fifo', 'tty']) {
    t.equal(plan(`-t tar-rafs -D dir ${source}`).paths.source, source);
  }
});

t.test('any sizes: a plan that keeps its promises, or a refusal', async t => {
  const number = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.integer({ min: 11, max: 25 }).map(bits => `0x${(2 ** bits).toString(16)}`),
    },
    { weight: 1, arbitrary: fc.nat(0x3000000).map(String) },
    { weight: 1, arbitrary: fc.stringMatching(/^[0-9a-fx]{1,20}$/) },
  );
  const ends = { planned: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.constantFrom<TypeName>(...TYPE_NAMES),
      number,
      number,
      fc.constantFrom('5', '6'),
      (type, chunk, batch, version) => {
        const source = conversionType(type) === 'dir-rafs' ? 'src' : 'tar';
        const argv = `-t ${type} --chunk-size=${chunk} --batch-size=${batch} -v ${version} --blob-id=a --blob-data-size 1 -D dir ${source}`;
        try {
          const { chunkSize, batchSize, fsVersion } = plan(argv);
          ends.planned++;
          return (
            Number.isInteger(Math.log2(chunkSize)) &&
            chunkSize >= 0x1000 &&
            chunkSize <= 0x1000000 &&
            batchSize <= chunkSize &&
            (batchSize === 0 || (fsVersion === 6 && batchSize >= 0x1000))
          );
        } catch (error) {
          ends.refused++;
          return error instanceof RafsError;
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.ok(ends.planned > 20 && ends.refused > 20, JSON.stringify(ends));
});
