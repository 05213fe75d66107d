/** What a registry says of a request that it refuses. */

/** Most characters to show of one message. */
const MOST_TEXT = 300;

/**
 * `MANIFEST_UNKNOWN: manifest unknown` out of `{"errors": [{"code", "message"}]}`, or the `details`
 * of a token server; undefined if the body says nothing of the kind.
 */
export const registryMessage = (body: Buffer): string | undefined => {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  // any JSON may come; each field is looked at before it is used
  const { errors, details, error, error_description: why } = value as Record<string, unknown>;
  if (Array.isArray(errors)) {
    const first: unknown = errors[0];
    if (typeof first !== 'object' || first === null) return undefined;
    const { code, message } = first as Record<string, unknown>;
    return joined(code, message);
  }
  return joined(error, why) ?? joined(details);
};

const joined = (...parts: readonly unknown[]): string | undefined => {
  const texts = parts.filter(part => typeof part === 'string' && part !== '');
  if (texts.length === 0) return undefined;
  const text = texts.join(': ');
  return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
};
