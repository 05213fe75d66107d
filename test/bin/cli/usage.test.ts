import t from 'tap';
import { COMMANDS, PIPE_ARGV, type CommandName } from '../../../bin/cli/options.js';
import type { CommandRow } from '../../../bin/options/option-row.js';
import { commandHelp, groupHelp, rootHelp, usageLine } from '../../../bin/cli/usage.js';

const names = Object.keys(COMMANDS) as CommandName[];

t.test('clients find the features they look for', async t => {
  const help = commandHelp('nydus-image', 'create');
  for (const word of ['--type', 'tar-rafs', '--batch-size', '--encrypt']) t.match(help, word);
  t.match(
    help,
    /^.+\n\nUsage: nydus-image create \[OPTIONS\] <SOURCE>\n\nArguments:\n  <SOURCE>\n/,
  );
  t.match(help, /\n {2}-t, --type <type>\n {10}\S/);
  t.match(help, /\n {6}--batch-size <batch-size>\n {10}\S/);
  t.match(help, /\n {2}-E, --encrypt\n/);
});

t.test('help shows all options but hidden ones, with defaults and values', async t => {
  for (const name of names) {
    const help = commandHelp('prog', name);
    const row: CommandRow = COMMANDS[name];
    const flat = help.replace(/\s+/g, ' ');
    t.notMatch(help, /\x1b/); // eslint-disable-line no-control-regex
    t.ok(help.endsWith('\n') && !help.endsWith('\n\n'));
    for (const line of help.split('\n')) t.ok(line.length <= 100 && !/\s$/.test(line), line);
    for (const [option, { hidden, values, default: preset, aliases = [] }] of Object.entries(
      row.options,
    )) {
      t.equal(
        new RegExp(`^ {2}(?:-\\w,|   ) --${option}(?![\\w-])`, 'm').test(help),
        !hidden,
        option,
      );
      for (const alias of aliases) t.notMatch(help, new RegExp(`--${alias}(?![\\w-])`));
      if (hidden) continue;
      if (values) t.match(flat, `[possible values: ${values.join(', ')}]`);
      if (preset) t.match(flat, `[default: ${preset}]`);
    }
    for (const option of ['-L, --log-file', '-l, --log-level', '--progress', '-h, --help']) {
      t.match(help, option);
    }
  }
  t.notMatch(commandHelp('prog', 'create'), /--blob-offset|--disable-check/);
});

t.test('help of the program has all commands, and how to use it in a pipe', async t => {
  const help = rootHelp('rafs-stream');
  t.match(help, 'Usage: rafs-stream [OPTIONS] [COMMAND]\n');
  for (const name of [...names.map(each => each.split(' ')[0]!), 'help']) {
    t.match(help, new RegExp(`^  ${name} +\\S`, 'm'));
  }
  t.match(help, '-V, --version');
  t.match(help, PIPE_ARGV.join(' '));
  t.match(help, 'rafs-stream < layer.tar > layer.blob\n');
});

t.test('help of a group', async t => {
  const help = groupHelp('prog', 'chunkdict');
  t.match(help, 'Usage: prog chunkdict [OPTIONS] [COMMAND]\n');
  t.match(help, /^ {2}generate +\S/m);
});

t.test('usage lines', async t => {
  t.equal(usageLine('p', undefined), 'Usage: p [OPTIONS] [COMMAND]');
  t.equal(usageLine('p', 'merge'), 'Usage: p merge [OPTIONS] <SOURCE>...');
  t.equal(usageLine('p', 'unpack'), 'Usage: p unpack [OPTIONS] --output <output> [BOOTSTRAP]');
  t.equal(usageLine('p', 'stat', ['blob-dir']), 'Usage: p stat --blob-dir <blob-dir>');
  t.equal(
    usageLine('p', 'unpack', ['blob', 'output']),
    'Usage: p unpack --output <output> --blob <blob> [BOOTSTRAP]',
  );
  t.equal(usageLine('p', 'create', ['blob-offset']), 'Usage: p create <SOURCE>'); // hidden
});
