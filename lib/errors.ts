/** Why a command fails on purpose, and the exit status that goes with it. */
export const EXIT = {
  USAGE: 2, // the command line is wrong
  INCONSISTENT: 2, // bootstraps that cannot be merged
  UNSUPPORTED: 1, // well-formed, but not something we handle
  CORRUPT: 1, // breaks the format
  MISMATCH: 1, // digest or size differs from what the metadata says
  LIMIT: 1, // does not fit the format
} as const;

export type Code = keyof typeof EXIT;
export type Place = Readonly<Record<string, string | number>>;

export class RafsError extends Error {
  override readonly name = 'RafsError';
  readonly code: Code;
  readonly at: Place;

  /** @param at where it was found: stage, path, record, field, offset */
  constructor(code: Code, message: string, at: Place = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.at = at;
  }
}

/** Adds a place to an error on its way up; the innermost place wins. */
export const located = (error: unknown, at: Place): Error => {
  const e = error instanceof Error ? error : new Error(String(error));
  return Object.assign(e, { at: { ...at, ...(e as { at?: Place }).at } });
};

/** The place an error carries, if any: `located` gives one to foreign errors too. */
export const placeOf = (error: unknown): Place => (error as { at?: Place } | null)?.at ?? {};

/** One line for a person: the message, then the place, innermost words first. */
export const describe = (error: unknown): string => {
  const e = error instanceof Error ? error : new Error(String(error));
  const place = Object.entries(placeOf(e)).map(([key, value]) => `${key} ${String(value)}`);
  const where = place.length > 0 ? ` (${place.join(', ')})` : '';
  return `${e.message}${where}`.replace(/[\x00-\x1f\x7f]/g, c => JSON.stringify(c).slice(1, -1)); // eslint-disable-line no-control-regex
};

/** Exit status for an error: 1 unless its code says otherwise. */
export const exitStatus = (error: unknown): number =>
  error instanceof RafsError ? EXIT[error.code] : 1;
