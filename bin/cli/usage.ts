/** Help, and the usage line under an error, made from the tables of options. */
import { COMMANDS, GLOBALS, GROUPS, PIPE_ARGV, ROOT, type CommandName } from './options.js';
import type { CommandRow, OptionRow, PositionalRow } from '../options/option-row.js';

const WIDTH = 100;

export type Rows = Readonly<Record<string, OptionRow>>;

/** `--blob <blob>`, or `--encrypt`: how texts name an option. */
export const shown = (name: string, row: OptionRow): string =>
  row.flag ? `--${name}` : `--${name} <${name}>`;

/** `<SOURCE>`, `<SOURCE>...` or `[BOOTSTRAP]`: how texts name a positional. */
export const shownPositional = ({ name, many, required, second }: PositionalRow): string =>
  `${required || second ? `<${name}>` : `[${name}]`}${many ? '...' : ''}${second ? ` <${second}>` : ''}`;

/**
 * The usage line under an error, or under the description in a help text.
 *
 * @param used names of options to show after the required ones; without any, `[OPTIONS]` stands
 *   for all that are not required
 */
export const usageLine = (
  prog: string,
  command: CommandName | undefined,
  used: readonly string[] = [],
): string => {
  if (!command) return `Usage: ${prog} [OPTIONS] [COMMAND]`;
  const row: CommandRow = COMMANDS[command];
  const rows: Rows = { ...row.options, ...GLOBALS };
  const required = Object.keys(rows).filter(name => rows[name]!.required);
  const names = new Set([...required, ...used]);
  const words = [prog, command];
  if (used.length === 0) words.push('[OPTIONS]');
  for (const name of names) {
    const option = rows[name];
    if (option && !option.hidden) words.push(shown(name, option));
  }
  if (row.positional) words.push(shownPositional(row.positional));
  return `Usage: ${words.join(' ')}`;
};

const wrap = (text: string, indent: number): string => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map(each => ' '.repeat(indent) + each).join('\n');
};

const optionsText = (rows: Rows): string => {
  const blocks: string[] = [];
  for (const [name, row] of Object.entries(rows)) {
    if (row.hidden) continue;
    const notes: string[] = [];
    const preset = row.default ?? row.defaultText;
    if (preset !== undefined) notes.push(`[default: ${preset}]`);
    if (row.values) notes.push(`[possible values: ${row.values.join(', ')}]`);
    const short = row.short ? `-${row.short}, ` : '    ';
    blocks.push(`  ${short}${shown(name, row)}\n${wrap([row.about, ...notes].join(' '), 10)}`);
  }
  return `Options:\n${blocks.join('\n\n')}\n`;
};

const listText = (title: string, items: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...items.map(([name]) => name.length));
  return `${title}:\n${items.map(([name, about]) => `  ${name.padEnd(width)}  ${about}\n`).join('')}`;
};

/** Help of one command; what `COMMAND --help` and `help COMMAND` print. */
export const commandHelp = (prog: string, command: CommandName): string => {
  const row: CommandRow = COMMANDS[command];
  const blocks = [`${row.about}\n`, `${usageLine(prog, command)}\n`];
  if (row.positional) {
    const text = wrap(row.positional.about, 10);
    blocks.push(`Arguments:\n  ${shownPositional(row.positional)}\n${text}\n`);
  }
  blocks.push(optionsText({ ...row.options, ...GLOBALS }));
  return blocks.join('\n');
};

const HELP_ROW = ['help', 'Print help of the program or of a command'] as const;

/** Help of a word that only introduces commands, such as `chunkdict`. */
export const groupHelp = (prog: string, group: string): string =>
  [
    `${GROUPS[group]}\n`,
    `Usage: ${prog} ${group} [OPTIONS] [COMMAND]\n`,
    listText('Commands', [
      ...Object.entries(COMMANDS)
        .filter(([name]) => name.startsWith(`${group} `))
        .map(([name, row]) => [name.slice(group.length + 1), row.about] as const),
      HELP_ROW,
    ]),
    optionsText(GLOBALS),
  ].join('\n');

/** Help of the program. */
export const rootHelp = (prog: string): string => {
  const direct = Object.entries(COMMANDS)
    .filter(([name]) => !name.includes(' '))
    .map(([name, row]) => [name, row.about] as const);
  return [
    'Build, check, inspect and unpack RAFS (Nydus) container image layers\n',
    `${usageLine(prog, undefined)}\n`,
    listText('Commands', [...direct, ...Object.entries(GROUPS), HELP_ROW]),
    optionsText(ROOT),
    wrap(
      'Without a command, unless stdin is a terminal, reads a tar (plain, gzip or zstd) from stdin ' +
        'and writes a blob that contains its bootstrap to stdout, as with:',
      0,
    ),
    `    ${prog} ${PIPE_ARGV.join(' ')}\n`,
    [
      'Examples:',
      `  ${prog} < layer.tar > layer.blob`,
      `  ${prog} create --type tar-rafs --bootstrap layer.boot --blob-dir blobs layer.tar.gz`,
      `  ${prog} create --type dir-rafs --bootstrap tree.boot --blob tree.blob tree/`,
      `  ${prog} check layer.boot`,
      `  ${prog} unpack --blob-dir blobs --output layer.tar layer.boot`,
      '',
    ].join('\n'),
  ].join('\n');
};
