/** Why a command may fail on purpose, and the exit status that goes with it. */
export const EXIT = {
  USAGE: 2, // the command line is wrong
  INCONSISTENT: 2, // bootstraps that cannot be merged
  UNSUPPORTED: 1, // well-formed, but not something we handle
  CORRUPT: 1, // breaks the format
  MISMATCH: 1, // digest or size differs from what the metadata says
  LIMIT: 1, // does not fit the format
  BACKEND: 1, // a storage does not give what it was asked for
} as const;

export type Code = keyof typeof EXIT;
export type ErrorContext = Readonly<Record<string, string | number>>;

export class RafsError extends Error {
  override readonly name = 'RafsError';
  readonly code: Code;
  readonly at: ErrorContext;

  /** @param at where it was found: stage, path, record, field, offset */
  constructor(code: Code, message: string, at: ErrorContext = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.at = at;
  }
}

/** Bytes that break their format. */
export const corrupt = (message: string, at?: ErrorContext): RafsError =>
  new RafsError('CORRUPT', message, at);

/** Adds a place to an error on its way up; the innermost place wins. */
export const located = (error: unknown, at: ErrorContext): Error => {
  const e = error instanceof Error ? error : new Error(String(error));
  return Object.assign(e, { at: { ...at, ...(e as { at?: ErrorContext }).at } });
};

/** The place an error carries, if any: `located` gives one to foreign errors too. */
export const contextOf = (error: unknown): ErrorContext =>
  (error as { at?: ErrorContext } | null)?.at ?? {};

/** What moves a terminal's cursor, or text in it: control characters, and marks of direction. */
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g; // eslint-disable-line no-control-regex

const visible = (c: string): string =>
  c < ' ' ? JSON.stringify(c).slice(1, -1) : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Text as a terminal or a log may get it: what an image has in its names must not control either.
 * Everything for people passes here: errors, records of the log, and what commands print on a
 * terminal. With `lines`, ends of lines and tabs stay.
 */
export const printable = (text: string, { lines = false }: { lines?: boolean } = {}): string =>
  text.replace(CONTROLS, c => (lines && (c === '\n' || c === '\t') ? c : visible(c)));

/** Most bytes of an input that a message repeats. */
const MOST_QUOTED = 200;

/** Bytes held as a latin1 string; a long one ends with its size, after a whole character. */
const cut = (bytes: string): string => {
  if (bytes.length <= MOST_QUOTED) return bytes;
  const start = bytes.slice(0, MOST_QUOTED).replace(/[\xc0-\xff][\x80-\xbf]*$/, '');
  return `${start}... (${bytes.length} bytes)`;
};

/** What a message quotes: longer than anything that helps, it comes from an input. */
const LONG_QUOTES = new RegExp(`(?<=(['"]))(?:(?!\\1).){${MOST_QUOTED},}(?=\\1)`, 'gs');

/** The message of an error, which may have names from an input in it. */
const messageOf = (error: Error): string =>
  error instanceof RafsError ? error.message.replace(LONG_QUOTES, cut) : error.message;

/** One line for a person: the message, its causes, then the place, outermost first. */
export const describe = (error: unknown): string => {
  const e = error instanceof Error ? error : new Error(String(error));
  const place = Object.entries(contextOf(e)).map(
    ([key, value]) => `${key} ${shown(key === 'file' ? value : cut(String(value)))}`,
  );
  const where = place.length > 0 ? ` (${place.join(', ')})` : '';
  let text = messageOf(e);
  for (let cause = e.cause; cause instanceof Error; cause = cause.cause)
    text += `: ${messageOf(cause)}`;
  return printable(`${text}${where}`);
};

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** Paths from a source are bytes: shown as UTF-8 if that is what they are. */
const shown = (value: string | number): string => {
  const text = String(value);
  if (/[^\x00-\xff]/.test(text)) return text; // eslint-disable-line no-control-regex
  try {
    return UTF8.decode(Buffer.from(text, 'latin1'));
  } catch {
    return text;
  }
};

/** Exit status for an error: 1 unless its code says otherwise. */
export const exitStatus = (error: unknown): number =>
  error instanceof RafsError ? EXIT[error.code] : 1;
