import t from 'tap';
import { parseCommandLine } from '../../../bin/cli/command-line.js';
import { UsageError } from '../../../bin/cli/option-rules.js';

/** The text of the error, or undefined where there is none. */
const refusal = (argv: readonly string[]): string | undefined => {
  try {
    parseCommandLine(argv, 'nydus-image');
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
};

const words = (text: string): string[] => text.split(' ');
const name = (argv: string): string => argv.split(' ')[0]!.slice(2);
const shown = (argv: string): string =>
  argv.includes(' ') ? `--${name(argv)} <${name(argv)}>` : `--${name(argv)}`;

// command and what else it needs; then pairs that do not go together
const CONFLICTS: readonly (readonly [string, string, readonly (readonly [string, string])[]])[] = [
  [
    'create',
    'src',
    [
      ['--bootstrap x', '--blob-inline-meta'],
      ['--blob-inline-meta', '--blob-id x'],
      ['--blob-inline-meta', '--blob-cache-dir x'],
      ['--blob x', '--blob-cache-dir x'],
      ['--blob-dir x', '--blob-cache-dir x'],
      ['--compressor zstd', '--blob-cache-dir x'],
    ],
  ],
  ['check', 'boot', [['--blob-dir x', '--config x']]],
  ['inspect', 'boot', [['--blob-dir x', '--config x']]],
  [
    'unpack',
    '--output o boot',
    [
      ['--blob x', '--blob-dir x'],
      ['--blob x', '--backend-type oss'],
      ['--blob-dir x', '--backend-type oss'],
      ['--backend-config x', '--backend-config-file x'],
    ],
  ],
  ['export', '--block', [['--localfs-dir x', '--config x']]],
  [
    'optimize',
    '-B boot',
    [
      ['--config x', '--blob-dir x'],
      ['--backend-config x', '--backend-config-file x'],
    ],
  ],
  ['compact', '-B boot -D x', [['--backend-config x', '--backend-config-file x']]],
];

t.test('conflicts name first what comes first', async t => {
  for (const [command, rest, pairs] of CONFLICTS) {
    for (const [a, b] of pairs) {
      for (const [first, second] of [
        [a, b],
        [b, a],
      ] as const) {
        const argv = words(`${command} ${first} ${second} ${rest}`);
        const text = refusal(argv) ?? 'accepted';
        const sentence = `error: the argument '${shown(first)}' cannot be used with '${shown(second)}'\n\n`;
        t.equal(text.slice(0, sentence.length), sentence);
        t.match(text, `Usage: nydus-image ${command} `);
        t.match(text, /\n\nFor more information, try '--help'\.\n$/);
      }
    }
  }
});

t.test('pairs that do go together', async t => {
  for (const argv of [
    'create -B x --blob-id x -D x src',
    'create -B x -b x -D x src',
    'create -t targz-ref --blob-cache-dir x -B x src', // the default compressor does not count
    'merge --config x -D x -B x src',
    'stat --config x -D x',
    'chunkdict generate -C x -D x a',
  ]) {
    t.equal(refusal(words(argv)), undefined, argv);
  }
});

t.test('several conflicts at once', async t => {
  t.equal(
    refusal(words('create -t tar-rafs --blob-cache-dir c -b b -D d src')),
    "error: the argument '--blob-cache-dir <blob-cache-dir>' cannot be used with:\n" +
      '  --blob <blob>\n' +
      '  --blob-dir <blob-dir>\n\n' +
      'Usage: nydus-image create --type <type> --blob-cache-dir <blob-cache-dir> <SOURCE>\n\n' +
      "For more information, try '--help'.\n",
  );
});

t.test('BOOTSTRAP is given once', async t => {
  for (const command of ['check', 'inspect', 'unpack --output o']) {
    const text = refusal(words(`${command} -B x boot`)) ?? 'accepted';
    t.match(
      text,
      /^error: the argument '(?:--bootstrap <bootstrap>|\[BOOTSTRAP\])' cannot be used/,
    );
    t.equal(refusal(words(`${command} -B x`)), undefined);
    t.equal(refusal(words(`${command} x`)), undefined);
  }
});

// arguments, and all that is missing in them
const REQUIRED: readonly (readonly [string, ...string[]])[] = [
  ['create', '--bootstrap <bootstrap>', '--blob <blob>', '<SOURCE>'],
  ['create -B x src', '--blob <blob>'],
  ['create -t tar-rafs src', '--bootstrap <bootstrap>'],
  ['create --blob-inline-meta src', '--blob <blob>'],
  ['create -t estargztoc-ref -B x src', '--blob-id <blob-id>'],
  ['create -t stargz_index -B x src', '--blob-id <blob-id>'],
  ['create -D x', '<SOURCE>'],
  ['merge -B x', '<SOURCE>...'],
  ['check', '<BOOTSTRAP>'],
  ['inspect -R stats', '<BOOTSTRAP>'],
  ['unpack', '--output <output>', '<BOOTSTRAP>'],
  ['export', '--block', '--output <output>'],
  ['export --block -B x', '--localfs-dir <localfs-dir>', '--output <output>'],
  ['export --block -D x', '--bootstrap <bootstrap>'],
  ['export --verity -C x -O x', '--block'],
  ['optimize', '--bootstrap <bootstrap>'],
  ['compact', '--bootstrap <bootstrap>', '--blob-dir <blob-dir>'],
  ['chunkdict generate', '<SOURCE>...'],
];

t.test('what is missing is listed', async t => {
  for (const [argv, ...missing] of REQUIRED) {
    const text = refusal(words(argv)) ?? 'accepted';
    const list = missing.map(each => `  ${each}\n`).join('');
    const start = `error: the following required arguments were not provided:\n${list}\nUsage: `;
    t.equal(text.slice(0, start.length), start, argv);
  }
});

t.test('nothing is missing', async t => {
  for (const argv of [
    'create -D x src',
    'create --blob-inline-meta -b x src',
    'create -B x -b x src', // without --external-blob
    'create -t tar-rafs -B x src', // what else is missing is for the command to say
    'export --block -C x -O x',
    'export --block -D x -B x',
    'stat',
  ]) {
    t.equal(refusal(words(argv)), undefined, argv);
  }
});

t.test('whole texts are those of nydus-image', async t => {
  const more = "\n\nFor more information, try '--help'.\n";
  for (const [argv, text] of [
    [
      'create -t nosuch -B x -D x -J x src',
      "error: invalid value 'nosuch' for '--type <type>'\n  [possible values: directory, dir-rafs, " +
        'estargz-rafs, estargz-ref, estargztoc-ref, tar-rafs, tar-tarfs, targz-rafs, targz-ref, stargz_index]',
    ],
    [
      'create -t tar-rafs src',
      'error: the following required arguments were not provided:\n  --bootstrap <bootstrap>\n\n' +
        'Usage: nydus-image create --type <type> --bootstrap <bootstrap> <SOURCE>',
    ],
    [
      'create -t tar-rafs --compressor brotli -B x -D x -J x src',
      "error: invalid value 'brotli' for '--compressor <compressor>'\n  [possible values: none, lz4_block, zstd]",
    ],
    [
      'create -t tar-rafs --blob-inline-meta --blob-id abc -b x src',
      "error: the argument '--blob-inline-meta' cannot be used with '--blob-id <blob-id>'\n\n" +
        'Usage: nydus-image create --type <type> --blob-inline-meta --blob <blob> <SOURCE>',
    ],
    [
      'export -B x -D x',
      'error: the following required arguments were not provided:\n  --block\n\n' +
        'Usage: nydus-image export --block --bootstrap <bootstrap> --localfs-dir <localfs-dir>',
    ],
    [
      'unpack -B x',
      'error: the following required arguments were not provided:\n  --output <output>\n\n' +
        'Usage: nydus-image unpack --output <output> --bootstrap <bootstrap> [BOOTSTRAP]',
    ],
  ] as const) {
    t.equal(refusal(words(argv)), text + more, argv);
  }
});
