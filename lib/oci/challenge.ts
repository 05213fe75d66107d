/**
 * Challenges in WWW-Authenticate headers: how a server wants to be shown who asks.
 *
 * One header may hold several challenges, separated by the same commas as their parameters
 * (RFC 9110, 11.6.1).
 */
export interface Challenge {
  /** in lower case */
  scheme: string;
  /** by names in lower case */
  values: Partial<Record<string, string>>;
}

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const PARAMETER = new RegExp(
  `^(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s",=][^\\s",]*))`,
);
const SCHEME = new RegExp(`^(${TOKEN})(?:\\s+|(?=,)|$)`);
/** What some schemes have in place of parameters. */
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*\s*(?=,|$)/;

/** The challenges of all headers in order; what cannot be understood is skipped. */
export const parseChallenges = (headers: readonly string[]): Challenge[] =>
  headers.flatMap(parseHeader);

const parseHeader = (header: string): Challenge[] => {
  const challenges: Challenge[] = [];
  let rest = header;
  for (;;) {
    rest = rest.replace(/^[\s,]+/, '');
    if (rest === '') return challenges;
    const current = challenges.at(-1);
    const parameter = PARAMETER.exec(rest);
    if (parameter && current) {
      const [text, name, quoted, plain] = parameter;
      current.values[name!.toLowerCase()] ??= quoted?.replace(/\\(.)/g, '$1') ?? plain!;
      rest = rest.slice(text.length);
      continue;
    }
    const scheme = parameter ? undefined : SCHEME.exec(rest);
    if (scheme) {
      challenges.push({ scheme: scheme[1]!.toLowerCase(), values: {} });
      rest = rest.slice(scheme[0].length);
      if (!PARAMETER.test(rest)) rest = rest.replace(TOKEN68, '');
    } else {
      rest = rest.replace(/^(?:"(?:[^"\\]|\\.)*"?|[^,"]+)/, '');
    }
  }
};
