import t from 'tap';
import { parseCommandLine } from '../../../bin/cli/command-line.js';
import {
  COMMANDS,
  GLOBALS,
  GROUPS,
  PIPE_ARGV,
  ROOT,
  type Values,
} from '../../../bin/cli/options.js';
import type { CommandRow, OptionRow } from '../../../bin/options/option-row.js';

const commands = Object.entries(COMMANDS) as [string, CommandRow][];

t.test('all commands are there', async t => {
  t.strictSame(Object.keys(COMMANDS).sort(), [
    ...[
      'check',
      'chunkdict generate',
      'compact',
      'convert',
      'copy',
      'create',
      'export',
      'inspect',
      'merge',
    ],
    ...['nbd', 'optimize', 'report', 'stat', 'unpack'],
  ]);
  for (const [name] of commands) {
    if (name.includes(' ')) t.ok(Object.hasOwn(GROUPS, name.split(' ')[0]!), name);
  }
});

t.test('a name means one option, and names in rules exist', async t => {
  for (const [command, { options, positional }] of commands) {
    const rows: Record<string, OptionRow> = { ...options, ...GLOBALS };
    t.equal(Object.keys(rows).length, Object.keys(options).length + Object.keys(GLOBALS).length);
    const names = Object.entries(rows).flatMap(([name, { short, aliases = [] }]) => [
      `--${name}`,
      ...aliases.map(alias => `--${alias}`),
      ...(short ? [`-${short}`] : []),
    ]);
    t.equal(new Set(names).size, names.length, command);
    for (const row of [...Object.values(rows), ...(positional ? [positional] : [])]) {
      const requires = 'requires' in row ? (row.requires ?? []) : [];
      for (const other of [...(row.conflicts ?? []), ...(row.requiredUnless ?? []), ...requires]) {
        t.ok(Object.hasOwn(rows, other), `${command}: ${other}`);
      }
    }
  }
});

t.test('rows make sense in themselves', async t => {
  for (const [command, { options }] of [...commands, ['root', { options: ROOT }] as const]) {
    for (const [name, row] of Object.entries(options) as [string, OptionRow][]) {
      const where = `${command} --${name}`;
      t.match(row.about, /^[A-Z].*[^.]$/, where);
      if (row.short) t.equal(row.short.length, 1, where);
      if (row.flag) t.notOk(row.default ?? row.values ?? row.number ?? row.list, where);
      if (row.values && row.default) t.ok(row.values.includes(row.default), where);
      if (row.default) t.notOk(row.required, where);
    }
  }
});

t.test('short forms are those of nydus-image', async t => {
  const shorts = (command: keyof typeof COMMANDS) =>
    Object.entries(COMMANDS[command].options as Record<string, OptionRow>)
      .flatMap(([name, { short }]) => (short ? [`${short} ${name}`] : []))
      .sort();
  t.strictSame(shorts('create'), [
    ...['B bootstrap', 'C config', 'D blob-dir', 'E encrypt', 'J output-json', 'b blob'],
    ...['t type', 'v fs-version'],
  ]);
  t.strictSame(shorts('merge'), ['B bootstrap', 'C config', 'D blob-dir', 'J output-json']);
  t.strictSame(shorts('check'), [
    ...['B bootstrap', 'C config', 'D blob-dir', 'J output-json', 'v verbose'],
  ]);
  t.strictSame(shorts('inspect'), ['B bootstrap', 'C config', 'D blob-dir', 'R request']);
  t.strictSame(shorts('stat'), [
    ...['B bootstrap', 'C config', 'D blob-dir', 'J output-json', 'T target'],
  ]);
  t.strictSame(shorts('unpack'), ['B bootstrap', 'D blob-dir', 'b blob']);
  t.strictSame(shorts('export'), [
    ...['B bootstrap', 'C config', 'D localfs-dir', 'J output-json', 'O output'],
  ]);
  t.strictSame(shorts('optimize'), [
    ...['B bootstrap', 'C config', 'D blob-dir', 'J output-json', 'O output-bootstrap', 'b blob'],
    'p prefetch-files',
  ]);
  t.strictSame(shorts('compact'), [
    ...['B bootstrap', 'D blob-dir', 'J output-json', 'O output-bootstrap'],
  ]);
  t.strictSame(shorts('chunkdict generate'), [
    ...['B bootstrap', 'C config', 'D blob-dir', 'J output-json', 'v verbose'],
  ]);
});

t.test('types of values follow the rows', async t => {
  // compiled, not run, is what this shows
  const typed = (values: Values<'create'>): [string, boolean, 'none' | 'lz4_block' | 'zstd'] => {
    const workers: number | undefined = values.workers;
    const dir: string | undefined = values['blob-dir'];
    // @ts-expect-error it may be absent
    const surely: string = values['blob-dir'];
    return [`${workers} ${dir} ${surely}`, values.encrypt, values.compressor];
  };
  const lists = (values: Values<'merge'>): string[] | undefined => values['blob-sizes'];
  const output = (values: Values<'unpack'>): string => values.output;
  t.strictSame(
    [typed, lists, output].map(each => each.length),
    [1, 1, 1],
  );
});

t.test('what a pipe is short for is a command line', async t => {
  const result = parseCommandLine(PIPE_ARGV, 'rafs-stream');
  if (!('command' in result) || result.command !== 'create') throw new Error('no create');
  t.equal(result.values.blob, '/dev/stdout');
  t.strictSame(result.positionals, ['/dev/stdin']);
});
