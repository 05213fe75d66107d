/**
 * Prefetch patterns: paths that are wanted first, with everything below them.
 *
 * A pattern is a path as in an Entry: components joined by '/', '' for the root.
 */
import { shown } from '../model/names.js';

export interface PrefetchPatterns {
  /** in the order given, without those that an earlier one covers */
  patterns: string[];
  /** one sentence for each line that was left out */
  warnings: string[];
}

/**
 * Reads patterns: one absolute path per line, with surrounding blanks trimmed. Paths are equal if
 * their components are: '/a//b/.' is '/a/b'. '..' is kept as it is and so matches nothing.
 */
export const parsePrefetchPatterns = (text: Buffer): PrefetchPatterns => {
  const patterns: string[] = [];
  const warnings: string[] = [];
  const lines = text.toString('latin1').split('\n');
  if (lines.at(-1) === '') lines.pop(); // what follows the last newline is no line
  const known = new Set<string>();
  for (const line of lines) {
    const given = trim(line);
    if (!given.startsWith('/')) {
      warnings.push(`Illegal file path ${shown(given)} specified, should be absolute path`);
      continue;
    }
    const pattern = given
      .split('/')
      .filter(component => component !== '' && component !== '.')
      .join('/');
    if (nearest(pattern, path => known.has(path)) !== undefined) {
      warnings.push(
        `prefetch pattern ${shown(given)} is covered by previous pattern and thus omitted`,
      );
      continue;
    }
    known.add(pattern);
    patterns.push(pattern);
  }
  return { patterns, warnings };
};

/**
 * Returns a function that gives the position of the pattern nearest to a path: the path itself,
 * else its closest parent that is a pattern; undefined if there is none.
 */
export const prefetchMatcher = (
  patterns: readonly string[],
): ((path: string) => number | undefined) => {
  const positions = new Map(patterns.map((pattern, position) => [pattern, position]));
  if (positions.size === 0) return () => undefined;
  return path => {
    const pattern = nearest(path, candidate => positions.has(candidate));
    return pattern === undefined ? undefined : positions.get(pattern);
  };
};

/** The first of the path and its parents, up to the root, that fits. */
const nearest = (path: string, fits: (path: string) => boolean): string | undefined => {
  for (let candidate = path; ;) {
    if (fits(candidate)) return candidate;
    if (candidate === '') return undefined;
    candidate = candidate.slice(0, Math.max(0, candidate.lastIndexOf('/')));
  }
};

/** Not String.trim, which would take a byte of UTF-8, such as the a0 of c3 a0, for a blank. */
const trim = (line: string): string => {
  let from = 0;
  let to = line.length;
  while (from < to && BLANKS.includes(line[from]!)) from++;
  while (to > from && BLANKS.includes(line[to - 1]!)) to--;
  return line.slice(from, to);
};

const BLANKS = ' \t\v\f\r';
