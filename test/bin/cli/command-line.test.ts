import t from 'tap';
import fc from 'fast-check';
import { parseCommandLine, type Invocation, type Printout } from '../../../bin/cli/command-line.js';
import { UsageError } from '../../../bin/cli/option-rules.js';
import { COMMANDS, type CommandName } from '../../../bin/cli/options.js';
import type { CommandRow } from '../../../bin/options/option-row.js';
import { exitStatus } from '../../../lib/errors.js';

const parse = (...argv: string[]): Invocation | Printout => parseCommandLine(argv, 'nydus-image');

const run = <Name extends CommandName>(
  command: Name,
  ...argv: string[]
): Extract<Invocation, { command: Name }> => {
  const result = parse(...argv);
  if ('print' in result || result.command !== command) throw new Error('another command');
  return result as Extract<Invocation, { command: Name }>; // its command was just compared
};

const printed = (...argv: string[]): Printout => {
  const result = parse(...argv);
  if (!('print' in result)) throw new Error(`runs ${result.command}`);
  return result;
};

/** The text of the error, and that it is one which leaves with 2. */
const refused = (...argv: string[]): string => {
  try {
    parse(...argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (exitStatus(error) !== 2) throw new Error('exit status is not 2', { cause: error });
    return error.message;
  }
  return 'accepted';
};

const CREATE = ['create', '-t', 'tar-rafs', '-B', 'boot', '-b', 'blob', 'src'];

t.test('an option may be written in every form', async t => {
  const dir = (...argv: string[]) =>
    run('create', 'create', '-B', 'boot', ...argv, 'src').values['blob-dir'];
  for (const argv of [
    ['--blob-dir', 'V'],
    ['--blob-dir=V'],
    ['-D', 'V'],
    ['-DV'],
    ['-D=V'],
    ['-ED', 'V'],
    ['-EDV'],
    ['-ED=V'],
  ]) {
    t.equal(dir(...argv), 'V', argv.join(' '));
  }
  t.equal(dir('--blob-dir', ''), '');
  t.equal(dir('--blob-dir='), '');
  t.equal(dir('-D='), '');
  t.equal(dir('-D==V'), '=V');
  t.equal(dir('--blob-dir==V'), '=V');
  t.equal(dir('-D', '-'), '-');
  t.equal(dir('--blob-dir=-1'), '-1');
  t.equal(dir('-D-1'), '-1');
});

t.test('a blank belongs to the attached value', async t => {
  const { values, positionals } = run('inspect', 'inspect', '-R blobs', 'S/image/image.boot');
  t.equal(values.request, ' blobs');
  t.strictSame(positionals, ['S/image/image.boot']);
});

t.test('a cluster of flags ends in an option with a value', async t => {
  const { values } = run('check', 'check', '-vJ', 'out.json', 'boot');
  t.equal(values.verbose, true);
  t.equal(values['output-json'], 'out.json');
});

t.test('-v is a version in create and a flag in check', async t => {
  t.equal(run('create', ...CREATE, '-v', '5').values['fs-version'], '5');
  t.equal(run('create', ...CREATE, '-v5').values['fs-version'], '5');
  t.equal(run('check', 'check', '-v', 'boot').values.verbose, true);
});

t.test('hidden names work', async t => {
  const { values, explicit } = run(
    'create',
    ...['create', '--source-type', 'directory', '--inline-bootstrap', '--blob', 'b'],
    ...['--blob-offset', '7', '--disable-check', 'src'],
  );
  t.equal(values.type, 'directory');
  t.equal(values['blob-inline-meta'], true);
  t.equal(values['blob-offset'], '7');
  t.equal(values['disable-check'], true);
  t.ok(explicit.has('type') && explicit.has('blob-inline-meta'));
  t.match(refused('create', '--source-type', 'x'), /^error: invalid value 'x' for '--type <type>'/);
  t.match(
    refused(...CREATE, '--source-type', 'tar-rafs'),
    "the argument '--type <type>' cannot be used multiple times",
  );
});

t.test('defaults are values, but not explicit', async t => {
  const { values, explicit, globals } = run('create', 'create', '-D', 'dir', 'src');
  t.match(values, {
    type: 'dir-rafs',
    compressor: 'zstd',
    digester: 'blake3',
    'fs-version': '6',
    'batch-size': '0',
    'blob-offset': '0',
    'whiteout-spec': 'oci',
    'prefetch-policy': 'none',
    encrypt: false,
    repeatable: false,
  });
  t.equal(values['chunk-size'], undefined);
  t.equal(values.workers, undefined);
  t.strictSame([...explicit], ['blob-dir']);
  t.strictSame(globals, {
    'log-file': undefined,
    'log-level': 'info',
    progress: 'auto',
    'no-fsync': false,
  });
  const { values: threads } = run('export', 'export', '--block', '-D', 'd', '-B', 'b');
  t.equal(threads.threads, 4);
});

t.test('options and positionals mix', async t => {
  const { positionals, values } = run(
    'merge',
    ...['merge', '-B', 'out', 'a', 'b', '--blob-sizes', '1, 2', '-l', 'warn', 'c'],
  );
  t.strictSame(positionals, ['a', 'b', 'c']);
  t.strictSame(values['blob-sizes'], ['1', '2']);
  t.equal(values['blob-digests'], undefined);
  t.strictSame(run('create', 'create', 'src', '-D', 'd').positionals, ['src']);
});

t.test('-- ends options', async t => {
  t.strictSame(run('create', 'create', '-D', 'd', '--', '-x').positionals, ['-x']);
  t.strictSame(run('merge', 'merge', 'a', '--', '-B', '--').positionals, ['a', '-B', '--']);
});

t.test('globals stand before or after the command, and the later one holds', async t => {
  const levels = (...argv: string[]) => run('check', ...argv).globals;
  t.equal(levels('-l', 'warn', 'check', 'boot')['log-level'], 'warn');
  t.equal(levels('check', 'boot', '--log-level=warn')['log-level'], 'warn');
  t.equal(levels('-l', 'warn', 'check', '-l', 'debug', 'boot')['log-level'], 'debug');
  t.equal(levels('-L', 'x.log', 'check', 'boot')['log-file'], 'x.log');
  t.equal(levels('--progress', 'json', 'check', 'boot').progress, 'json');
  t.ok(run('check', '-l', 'warn', 'check', 'boot').explicit.has('log-level'));
  t.match(refused('-l', 'warn', '-l', 'warn', 'check', 'boot'), /cannot be used multiple times/);
  const generate = run('chunkdict generate', '-lwarn', 'chunkdict', '-Lx', 'generate', 'a');
  t.match(generate.globals, { 'log-level': 'warn', 'log-file': 'x' });
});

t.test('commands of clients are accepted as they are', async t => {
  for (const text of [
    'create --log-level warn --prefetch-policy fs --blob w/blob.rafs --whiteout-spec none --fs-version 6 --type tar-rafs --blob-inline-meta --features blob-toc --chunk-dict bootstrap=x --compressor zstd --aligned-chunk --chunk-size 0x100000 --batch-size 0x40000 --encrypt w/blob.targz',
    'create --log-level warn --type targz-ref --blob-inline-meta --features blob-toc --blob w/blob.rafs w/blob.targz',
    'create --log-level warn --prefetch-policy fs --blob w/blob --whiteout-spec none --fs-version 5 --source-type directory --inline-bootstrap w/source',
    'create --parent-bootstrap p --bootstrap o/n.meta --log-level warn --whiteout-spec oci --output-json o/output.json --blob o/n.blob --fs-version 6 src',
    'create --type tar-tarfs --bootstrap S/b.tmp --blob-id abc --blob-dir C S/l.fifo',
    'create --source-type stargz_index --bootstrap t --blob-id abc --repeatable --disable-check --fs-version 6 --chunk-size 0x400000 p/stargz.index.json',
    'create --bootstrap X --blob-cache-dir Y SRC',
    'merge --log-level warn --prefetch-policy fs --output-json o --bootstrap b w/1 w/2 --blob-digests d1,d2 --blob-toc-digests t1,t2 --blob-sizes 1,2',
    'unpack --log-level warn --bootstrap w/image.boot --output w/oci.tar --blob w/image.blob',
    'unpack --log-level warn --bootstrap w/image.boot --output w/oci.tar --backend-type http-proxy --backend-config {"addr":"s"}',
    'check --log-level warn --output-json o --bootstrap b',
    'check --log-level error --bootstrap b -v',
    'inspect b --request blobs',
    'export --block --localfs-dir C --bootstrap b --output d --verity',
    'compact --bootstrap p --blob-dir o --min-used-ratio 5 --compact-blob-size 10485760 --max-compact-size 104857600 --layers-to-compact 32 --backend-type oss --backend-config-file c --log-level info --output-json j --output-bootstrap p.compact',
    'optimize --log-level warn --prefetch-files f --bootstrap p --output-blob-dir d --output-bootstrap o --output-json j --blob-dir d2',
    'chunkdict generate --log-level warn --bootstrap b --database sqlite:///w/database.db --output-json j a/b c/d',
    'stat -B b -J o',
  ]) {
    const result = parse(...text.split(' '));
    t.ok('command' in result && text.startsWith(result.command), text);
  }
});

t.test('help is not a request where SOURCE is due', async t => {
  t.strictSame(run('create', 'create', '-D', 'd', 'help').positionals, ['help']);
});

t.test('what is unknown or not allowed there', async t => {
  const unexpected = (...argv: string[]) =>
    /^error: unexpected argument '(.*)' found\n/.exec(refused(...argv))?.[1];
  t.equal(unexpected(...CREATE, '--crc'), '--crc');
  t.equal(unexpected(...CREATE, '--crc=1'), '--crc');
  t.equal(unexpected('create', '--blob-di', 'x', 'src'), '--blob-di'); // no abbreviations
  t.equal(unexpected('create', '--no-encrypt', 'src'), '--no-encrypt');
  t.equal(unexpected('create', '-V'), '-V');
  t.equal(unexpected('create', '--version'), '--version');
  t.equal(unexpected('create', '-x'), '-x');
  t.equal(unexpected('create', '-Ex'), '-x');
  t.equal(unexpected('create', '-E--x'), '--');
  t.equal(unexpected('create', '-é'), '-é');
  t.equal(unexpected('create', '--__proto__=x'), '--__proto__');
  t.equal(unexpected('create', '--constructor'), '--constructor');
  t.equal(unexpected('-t', 'tar-rafs', 'create'), '-t');
  t.equal(unexpected('--', 'create'), 'create');
  t.equal(unexpected('create', '-D', 'd', 'src', 'more'), 'more');
  t.equal(unexpected('stat', 'more'), 'more');
  // a value that starts with '-' must be attached
  t.equal(unexpected('create', '-D', '-1', 'src'), '-1');
  t.equal(unexpected('create', '-D', '-12', 'src'), '-1');
  t.equal(unexpected('create', '--blob-dir', '--nosuch=3', 'src'), '--nosuch');

  t.match(
    refused(...CREATE, '--encrypt=yes'),
    /^error: unexpected value 'yes' for '--encrypt' found; no more were expected\n/,
  );
  t.match(refused('nosuch'), /^error: unrecognized subcommand 'nosuch'\n\nUsage: nydus-image /);
  t.match(refused('toString'), /^error: unrecognized subcommand 'toString'\n/);
  t.match(refused('chunkdict', 'save'), /^error: unrecognized subcommand 'save'\n/);
  t.match(refused('chunkdict generate'), /^error: unrecognized subcommand 'chunkdict generate'\n/);
  t.match(refused('help', 'nosuch'), /^error: unrecognized subcommand 'nosuch'\n/);
  t.match(refused('help', 'create', 'x'), /^error: unrecognized subcommand 'x'\n/);
  t.match(
    refused('create', 'a\ufffdb'),
    /^error: invalid UTF-8 was detected in one or more arguments\n/,
  );
});

t.test('a value that is missing', async t => {
  for (const argv of [['-D'], ['-D', '--'], ['-D', '-B', 'x'], ['--blob-dir', '--encrypt']]) {
    t.equal(
      refused('create', ...argv),
      "error: a value is required for '--blob-dir <blob-dir>' but none was supplied\n\n" +
        "For more information, try '--help'.\n",
      argv.join(' '),
    );
  }
  t.match(
    refused('create', '--features', ''),
    /none was supplied\n  \[possible values: blob-toc\]/,
  );
});

t.test('an option or flag given twice', async t => {
  for (const [shown, ...argv] of [
    ['--blob-id <blob-id>', '--blob-id', 'a', '--blob-id=a'],
    ['--blob <blob>', '-b', 'x'],
    ['--encrypt', '-EE'],
    ['--encrypt', '--encrypt', '-E'],
    ['--features <features>', '--features', 'blob-toc', '--features', 'blob-toc'],
  ]) {
    t.equal(
      refused(...CREATE, ...argv),
      `error: the argument '${shown}' cannot be used multiple times\n\n` +
        "Usage: nydus-image create [OPTIONS] <SOURCE>\n\nFor more information, try '--help'.\n",
    );
  }
});

t.test('values are from their list, in exact case', async t => {
  t.equal(
    refused(...CREATE, '--compressor', 'gzip'),
    "error: invalid value 'gzip' for '--compressor <compressor>'\n" +
      '  [possible values: none, lz4_block, zstd]\n\n' +
      "For more information, try '--help'.\n",
  );
  t.match(refused(...CREATE, '--whiteout-spec', 'OCI'), /invalid value 'OCI'/);
  for (const [name, row] of Object.entries(COMMANDS) as [CommandName, CommandRow][]) {
    for (const [option, { values }] of Object.entries(row.options)) {
      if (!values) continue;
      t.match(
        refused(...name.split(' '), `--${option}`, 'nosuch'),
        `error: invalid value 'nosuch' for '--${option} <${option}>'\n` +
          `  [possible values: ${values.join(', ')}]\n\n`,
      );
    }
  }
});

t.test('numbers', async t => {
  const threads = (text: string) => refused('export', '--block', '-D', 'd', '-B', 'b', text);
  t.match(
    threads('--threads=0'),
    /^error: invalid value '0' for '--threads <threads>': invalid thread number 0, valid range: \[1-1024\]\n/,
  );
  t.match(threads('--threads=1025'), /invalid thread number 1025, /);
  t.match(
    threads('--threads=x'),
    /^error: invalid value 'x' for '--threads <threads>': invalid thread number configuration: x\n/,
  );
  t.match(threads(`--threads=${'9'.repeat(400)}`), /invalid thread number configuration/);
  t.equal(run('create', ...CREATE, '--workers', '0').values.workers, 0);
  t.equal(run('create', ...CREATE, '--workers=5').values.workers, 5);
  for (const text of ['-1', '257', '1.5', '0x2', '']) {
    t.match(refused(...CREATE, `--workers=${text}`), /^error: invalid value '/, text);
  }
});

t.test('nothing to run', async t => {
  const line = 'Usage: [OPTIONS] [COMMAND]\n';
  t.match(printed(), { print: line, exit: 0, stream: 'stdout', bare: { 'log-level': 'info' } });
  t.match(printed('-l', 'warn', '--progress=none'), {
    print: line,
    bare: { 'log-level': 'warn', progress: 'none' },
  });
  const group = printed('chunkdict');
  t.equal(group.print, line);
  t.equal(group.bare, undefined);
});

t.test('help and version', async t => {
  for (const name of Object.keys(COMMANDS)) {
    const words = name.split(' ');
    const { print, exit, stream } = printed(...words, '-h');
    t.match({ exit, stream }, { exit: 0, stream: 'stdout' });
    t.equal(printed(...words, '--help').print, print);
    t.equal(printed('help', ...words).print, print);
    t.match(print, `Usage: nydus-image ${name} [OPTIONS]`);
  }
  t.equal(printed('-h').print, printed('help').print);
  t.equal(printed('help', 'help').print, printed('help').print);
  t.equal(printed('chunkdict', '-h').print, printed('help', 'chunkdict').print);
  t.equal(
    printed('chunkdict', 'help', 'generate').print,
    printed('help', 'chunkdict', 'generate').print,
  );
  t.equal(printed('-V').print, printed('--version').print);
  t.match(printed('-V'), { print: /Version:\s*v/, exit: 0, stream: 'stdout' });
  // the first thing that is wrong or asks for help decides
  t.match(printed('create', '-h', '--nosuch').print, 'Usage: nydus-image create');
  t.match(refused('create', '--nosuch', '-h'), /unexpected argument/);
  t.match(printed('create', '-Eh').print, 'Usage: nydus-image create');
});

t.test('any arguments end in a result or a usage error', async t => {
  const names = Object.keys(COMMANDS).flatMap(name => name.split(' '));
  const words = [
    ...names,
    ...Object.values(COMMANDS as Record<string, CommandRow>).flatMap(({ options }) =>
      Object.entries(options).flatMap(([name, { short }]) => [`--${name}`, `-${short ?? 'x'}`]),
    ),
    ...['--', '-', '', 'x', '-l', 'help', '--help', '=', '-=', '--=', 'tar-rafs', 'blob-toc'],
  ];
  const argument = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...words) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme' }) },
    { weight: 1, arbitrary: fc.string().map(text => `-${text}`) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom(...words), fc.string()).map(p => p.join('=')),
    },
  );
  // commands more often than by chance: too few arguments would be what one of them takes
  const first = fc.oneof(fc.constantFrom(...names), fc.constantFrom(...words));
  const ends = { runs: 0, prints: 0, refuses: 0 };
  fc.assert(
    fc.property(first, fc.array(argument, { maxLength: 8 }), (first, rest) => {
      try {
        const result = parse(first, ...rest);
        if ('command' in result) ends.runs++;
        else ends.prints++;
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        ends.refuses++;
      }
    }),
    { numRuns: 5000 },
  );
  t.ok(ends.runs > 0 && ends.prints > 0 && ends.refuses > 0, JSON.stringify(ends));
});
