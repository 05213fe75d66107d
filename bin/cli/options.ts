/**
 * The options of all commands: names, short forms, hidden aliases, defaults, values, and which of
 * them go together. Parser, help and the types of what commands receive all derive from these
 * tables, so a default or a name is written once.
 */
import { CREATE } from '../options/create.js';
import { IMAGES } from '../options/images.js';
import { READING } from '../options/reading.js';
import { DISKS } from '../options/disks.js';
import { REWRITING } from '../options/rewriting.js';
import type { CommandRow, OptionRow, ValuesOf } from '../options/option-row.js';

/** Accepted before and after the command. */
export const GLOBALS = {
  'log-file': {
    short: 'L',
    file: 'output',
    about: 'Append log records to this file instead of stderr',
  },
  'log-level': {
    short: 'l',
    values: ['trace', 'debug', 'info', 'warn', 'error'],
    default: 'info',
    about: 'Lowest level of log records that are written',
  },
  progress: {
    values: ['auto', 'bar', 'json', 'none'],
    default: 'auto',
    about:
      'Show progress on stderr: a bar, lines of JSON, or nothing; auto is a bar on a terminal ' +
      'and nothing elsewhere',
  },
  'no-fsync': {
    flag: true,
    about:
      'Do not wait until files are on the disk: faster, but a crash of the machine may lose them',
  },
  help: { short: 'h', flag: true, about: 'Print this help' },
} as const satisfies Readonly<Record<string, OptionRow>>;

/** Only without a command. */
export const ROOT = {
  ...GLOBALS,
  version: { short: 'V', flag: true, about: 'Print version and build' },
} as const satisfies Readonly<Record<string, OptionRow>>;

/** Every command; the file of its name in `commands/` runs it. */
export const COMMANDS = {
  create: CREATE,
  ...IMAGES,
  ...READING,
  ...DISKS,
  ...REWRITING,
} as const satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof COMMANDS;

/** Words that only introduce commands. */
export const GROUPS: Readonly<Record<string, string>> = {
  chunkdict: 'Work with chunk dictionaries',
};

/** What a call without a command stands for when something is piped into it. */
export const PIPE_ARGV = [
  'create',
  '--type',
  'tar-rafs',
  '--blob-inline-meta',
  '--features',
  'blob-toc',
  '--blob',
  '/dev/stdout',
  '/dev/stdin',
] as const;

/** The options of a command, by long name: `Values<'create'>['blob-dir']`. */
export type Values<Name extends CommandName> = ValuesOf<(typeof COMMANDS)[Name]['options']>;

/** The options that every command has. */
export type GlobalValues = Omit<ValuesOf<typeof GLOBALS>, 'help'>;
