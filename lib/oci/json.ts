/** JSON of OCI documents. */
import { corrupt, RafsError, type ErrorContext } from '../errors.js';

export type JsonObject = Record<string, unknown>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Parses a document that must be an object; its keys keep their order. */
export const parseObject = (bytes: Buffer, what: string, at: ErrorContext = {}): JsonObject => {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new RafsError('CORRUPT', `the ${what} is not JSON`, at, { cause });
  }
  if (isObject(value)) return value;
  throw corrupt(`the ${what} is not a JSON object`, at);
};

const ESCAPED = /[<>&\u2028\u2029]/g;

/**
 * As Go writes JSON, so that equal documents have equal digests: some characters are escaped
 * though they need not be.
 *
 * @param indent blanks per level; without it everything is on one line
 */
export const toJson = (value: unknown, indent?: number): Buffer =>
  Buffer.from(
    JSON.stringify(value, null, indent).replace(
      ESCAPED,
      c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  );
