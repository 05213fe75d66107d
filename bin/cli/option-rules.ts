/** Which options go together, and the text of the errors when they do not. */
import { RafsError } from '../../lib/errors.js';
import type { CommandName } from './options.js';
import type { CommandRow, OptionRow } from '../options/option-row.js';
import { shown, shownPositional, usageLine, type Rows } from './usage.js';

/** A wrong command line. The message is the whole text for stderr, of several lines. */
export class UsageError extends RafsError {
  constructor(text: string) {
    super('USAGE', text);
  }
}

/** Throws UsageError: `error: <sentence>`, details, usage, and where to find more. */
export const fail = (sentence: string, details: readonly string[], usage?: string): never => {
  const blocks = [[`error: ${sentence}`, ...details].join('\n')];
  if (usage) blocks.push(usage);
  blocks.push("For more information, try '--help'.");
  throw new UsageError(`${blocks.join('\n\n')}\n`);
};

/** What a part of the command line is parsed with. */
export interface Scope {
  readonly prog: string;
  readonly command: CommandName | undefined;
  readonly rows: Rows;
  readonly positional?: CommandRow['positional'];
}

/** On a conflict, fails and names the option that comes first and those it does not go with. */
export const checkConflicts = (
  { prog, command, rows, positional }: Scope,
  given: ReadonlyMap<string, string>,
  positionals: readonly string[],
): void => {
  const against = (name: string): readonly string[] => rows[name]?.conflicts ?? [];
  const refuse = (first: string, others: readonly string[], usage: string): void => {
    if (others.length === 1) {
      fail(`the argument '${first}' cannot be used with '${others[0]}'`, [], usage);
    }
    if (others.length > 1) {
      const list = others.map(other => `  ${other}`);
      fail(`the argument '${first}' cannot be used with:`, list, usage);
    }
  };
  for (const name of given.keys()) {
    const others = [...given.keys()].filter(
      other => against(name).includes(other) || against(other).includes(name),
    );
    refuse(
      shown(name, rows[name]!),
      others.map(other => shown(other, rows[other]!)),
      usageLine(
        prog,
        command,
        [...given.keys()].filter(used => !others.includes(used)),
      ),
    );
  }
  if (!positional || positionals.length === 0) return;
  const others = (positional.conflicts ?? []).filter(other => given.has(other));
  refuse(
    shownPositional(positional),
    others.map(other => shown(other, rows[other]!)),
    usageLine(prog, command),
  );
};

/** Fails with a list of all that is missing. Only given options count, not defaults. */
export const checkRequired = (
  { prog, command, rows, positional }: Scope,
  given: ReadonlyMap<string, string>,
  positionals: readonly string[],
): void => {
  const lacks = (row: OptionRow): boolean => {
    if (row.requiredUnless && !row.requiredUnless.some(other => given.has(other))) return true;
    if (!row.requiredIf) return false;
    const [option, values] = row.requiredIf;
    return values.includes(given.get(option) ?? '');
  };
  const names = Object.keys(rows);
  const called = [...given.keys()].flatMap(name => rows[name]?.requires ?? []);
  const missing = new Set(
    [
      ...names.filter(name => rows[name]!.required),
      ...called,
      ...names.filter(name => lacks(rows[name]!)),
    ].filter(name => !given.has(name)),
  );
  const lines = [...missing].map(name => `  ${shown(name, rows[name]!)}`);
  if (positional && positionals.length === 0) {
    const { name, many, required, requiredUnless } = positional;
    if (required || !requiredUnless?.some(other => given.has(other))) {
      lines.push(`  <${name}>${many ? '...' : ''}`);
      if (positional.second) lines.push(`  <${positional.second}>`);
    }
  }
  if (positional?.second && positionals.length === 1) lines.push(`  <${positional.second}>`);
  if (lines.length === 0) return;
  fail(
    'the following required arguments were not provided:',
    lines,
    usageLine(prog, command, [...given.keys(), ...missing]),
  );
};
