/**
 * Parses a command line according to the tables of options.
 *
 * The grammar and the error texts are those of nydus-image, since clients use every form that it
 * allows (`-R blobs` as one argument, say) and look for its sentences. node:util splits arguments
 * into tokens; their meaning is decided here.
 */
import { parseArgs } from 'node:util';
import {
  COMMANDS,
  GLOBALS,
  GROUPS,
  ROOT,
  type CommandName,
  type GlobalValues,
  type Values,
} from './options.js';
import type { CommandRow, OptionRow } from '../options/option-row.js';
import { commandHelp, groupHelp, rootHelp, shown, usageLine, type Rows } from './usage.js';
import { checkConflicts, checkRequired, fail, type Scope } from './option-rules.js';
import { versionText } from '../version.js';

/** A command to run: its options by long name, and what else was given. */
export interface Call<Name extends CommandName> {
  readonly command: Name;
  readonly values: Values<Name>;
  /** long names of the options that were given, globals included */
  readonly explicit: ReadonlySet<string>;
  readonly positionals: readonly string[];
  readonly globals: GlobalValues;
}

/** Any command to run. Narrow by `command`, and `values` has that command's type. */
export type Invocation = { [Name in CommandName]: Call<Name> }[CommandName];

/** Nothing to run: print `print` as it is, and exit with status `exit`. */
export interface Printout {
  readonly print: string;
  readonly exit: 0 | 2;
  readonly stream: 'stdout' | 'stderr';
  /** the globals, if they were given without a command */
  readonly bare?: GlobalValues;
}

interface Read {
  /** in order of appearance, under long names; flags have the value '' */
  readonly given: Map<string, string>;
  readonly positionals: string[];
  /** index of the first positional, when reading stopped there */
  readonly stopped?: number;
  readonly asked?: 'help' | 'version';
}

const print = (text: string): Printout => ({ print: text, exit: 0, stream: 'stdout' });

/**
 * Parses the arguments after the program's name.
 *
 * @param prog the program's name, as usage lines show it
 * @throws UsageError
 */
export const parseCommandLine = (argv: readonly string[], prog: string): Invocation | Printout => {
  // what is not UTF-8 reaches us with replacement characters, and would name another file
  if (argv.some(arg => arg.includes('\ufffd'))) {
    fail('invalid UTF-8 was detected in one or more arguments', [], usageLine(prog, undefined));
  }
  const scope = { prog, command: undefined, rows: ROOT };
  const root = read(argv, scope, true);
  if (root.asked === 'help') return print(rootHelp(prog));
  if (root.asked === 'version') return print(versionText());
  if (root.stopped === undefined) {
    const bare = globalsOf(root.given);
    return { ...print('Usage: [OPTIONS] [COMMAND]\n'), bare };
  }
  const [word = '', ...rest] = argv.slice(root.stopped);
  if (word === 'help') return print(helpFor(rest, prog));
  if (Object.hasOwn(GROUPS, word)) return parseGroup(word, rest, prog, root.given);
  const command = word.includes(' ') ? undefined : commandNamed(word); // one word per argument
  if (!command) return unrecognized(word, usageLine(prog, undefined));
  return parseCommand(command, rest, prog, root.given);
};

const commandNamed = (words: string): CommandName | undefined =>
  // by this test, the name is a key of the table
  Object.hasOwn(COMMANDS, words) ? (words as CommandName) : undefined;

const unrecognized = (word: string, usage: string): never =>
  fail(`unrecognized subcommand '${word}'`, [], usage);

const helpFor = (words: readonly string[], prog: string): string => {
  const [first = 'help', second = ''] = words;
  if (words.length <= 1 && first === 'help') return rootHelp(prog);
  if (words.length === 1 && Object.hasOwn(GROUPS, first)) return groupHelp(prog, first);
  const command = commandNamed(words.join(' '));
  if (command) return commandHelp(prog, command);
  const known = commandNamed(first) !== undefined || Object.hasOwn(GROUPS, first);
  return unrecognized(known ? second : first, usageLine(prog, undefined));
};

const parseGroup = (
  group: string,
  argv: readonly string[],
  prog: string,
  outer: ReadonlyMap<string, string>,
): Invocation | Printout => {
  const usage = `Usage: ${prog} ${group} [OPTIONS] [COMMAND]`;
  const inner = read(argv, { prog: `${prog} ${group}`, command: undefined, rows: GLOBALS }, true);
  if (inner.asked) return print(groupHelp(prog, group));
  if (inner.stopped === undefined) return print('Usage: [OPTIONS] [COMMAND]\n');
  const [word = '', ...rest] = argv.slice(inner.stopped);
  if (word === 'help') return print(helpFor([group, ...rest], prog));
  const command = commandNamed(`${group} ${word}`);
  if (!command) return unrecognized(word, usage);
  return parseCommand(command, rest, prog, new Map([...outer, ...inner.given]));
};

const parseCommand = (
  command: CommandName,
  argv: readonly string[],
  prog: string,
  outer: ReadonlyMap<string, string>,
): Invocation | Printout => {
  const { options, positional }: CommandRow = COMMANDS[command];
  const rows: Rows = { ...options, ...GLOBALS };
  const scope: Scope = { prog, command, rows, positional };
  const { given, positionals, asked } = read(argv, scope, false);
  if (asked) return print(commandHelp(prog, command));
  checkConflicts(scope, given, positionals);
  checkRequired(scope, given, positionals);
  const all = new Map([...outer, ...given]); // a global after the command wins
  return {
    command,
    values: valuesOf(options, given),
    explicit: new Set(all.keys()),
    positionals,
    globals: globalsOf(all),
  } as unknown as Invocation; // its type comes from the table it was parsed with
};

const globalsOf = (given: ReadonlyMap<string, string>): GlobalValues => {
  const rows = Object.entries(GLOBALS).filter(([name]) => name !== 'help');
  // its type comes from the rows it is made from
  return valuesOf(Object.fromEntries(rows), given) as unknown as GlobalValues;
};

const valuesOf = (rows: Rows, given: ReadonlyMap<string, string>): Record<string, unknown> => {
  const values: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(rows)) {
    const text = given.get(name) ?? row.default;
    if (row.flag) values[name] = text !== undefined;
    else if (text === undefined) values[name] = undefined;
    else if (row.list) values[name] = text.split(',').map(item => item.trim());
    else values[name] = row.number ? Number(text) : text;
  }
  return values;
};

/** Reads tokens in order, up to the first mistake or request for help. */
const read = (argv: readonly string[], scope: Scope, stopAtPositional: boolean): Read => {
  const { rows, prog, command, positional } = scope;
  const names = new Map<string, string>(); // every spelling, to the long name
  for (const [name, row] of Object.entries(rows)) {
    names.set(`--${name}`, name);
    for (const alias of row.aliases ?? []) names.set(`--${alias}`, name);
    if (row.short) names.set(`-${row.short}`, name);
  }
  const given = new Map<string, string>();
  const positionals: string[] = [];
  const usage = (): string => usageLine(prog, command, [...given.keys()]);
  const unexpected = (arg: string): never =>
    fail(
      `unexpected argument '${arg}' found`,
      positional && arg.startsWith('-')
        ? ['', `  tip: to pass '${arg}' as a value, use '-- ${arg}'`]
        : [],
      usage(),
    );

  let ended = false;
  for (const token of tokensOf(argv, rows)) {
    if (token.kind === 'option-terminator') {
      // a cluster such as -v--x is split into tokens that include a terminator
      if (argv[token.index] !== '--') unexpected('--');
      ended = true;
      continue;
    }
    if (token.kind === 'positional') {
      if (stopAtPositional) {
        if (ended) unexpected(token.value);
        return { given, positionals, stopped: token.index };
      }
      const most = positional?.many ? Infinity : positional?.second ? 2 : 1;
      if (!positional || positionals.length >= most) unexpected(token.value);
      positionals.push(token.value);
      continue;
    }
    const name = names.get(token.rawName) ?? unexpected(token.rawName);
    const row = rows[name]!;
    const value = valueOf(token, name, row, names, unexpected, usage);
    if (name === 'help' || name === 'version') return { given, positionals, asked: name };
    if (given.has(name)) {
      fail(
        `the argument '${shown(name, row)}' cannot be used multiple times`,
        [],
        usageLine(prog, command),
      );
    }
    given.set(name, value);
  }
  return { given, positionals };
};

const tokensOf = (argv: readonly string[], rows: Rows) => {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {};
  for (const [name, { flag, short, aliases = [] }] of Object.entries(rows)) {
    const type = flag ? 'boolean' : 'string';
    options[name] = short ? { type, short } : { type };
    for (const alias of aliases) options[alias] = { type };
  }
  return parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
};

type OptionToken = Extract<ReturnType<typeof tokensOf>[number], { kind: 'option' }>;

/** The value of an option as it was written, checked against its row; '' for a flag. */
const valueOf = (
  token: OptionToken,
  name: string,
  row: OptionRow,
  names: ReadonlyMap<string, string>,
  unexpected: (arg: string) => never,
  usage: () => string,
): string => {
  const text = shown(name, row);
  const possible = row.values ? [`  [possible values: ${row.values.join(', ')}]`] : [];
  const missing = (): never =>
    fail(`a value is required for '${text}' but none was supplied`, possible);

  if (row.flag) {
    if (token.value !== undefined) {
      fail(
        `unexpected value '${token.value}' for '${text}' found; no more were expected`,
        [],
        usage(),
      );
    }
    return '';
  }
  if (token.value === undefined) return missing();
  let value = token.value;
  if (!token.inlineValue && value.startsWith('-') && value !== '-') {
    // looks like an option: then the value is missing, unless there is no such option
    const [long = value] = value.split('=', 1);
    const written = value.startsWith('--') ? long : [...value].slice(0, 2).join('');
    return value === '--' || names.has(written) ? missing() : unexpected(written);
  }
  // -D=V means the same as -DV
  if (token.inlineValue && !token.rawName.startsWith('--') && value.startsWith('=')) {
    value = value.slice(1);
  }
  if (row.values && !row.values.includes(value)) {
    return value === '' ? missing() : fail(`invalid value '${value}' for '${text}'`, possible);
  }
  if (row.number) {
    const { low, high, malformed, outside } = row.number;
    const number = /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
    const refuse = (why: string): never =>
      fail(`invalid value '${value}' for '${text}': ${why}`, []);
    if (number === undefined) return refuse(malformed(value));
    if (number < low || number > high) return refuse(outside(number));
  }
  return value;
};
