/** The program's version. Taken from its package only: no git, no clock. */
import { readFileSync } from 'node:fs';

interface Build {
  /** starts with 'v' */
  readonly version: string;
  readonly commit: string;
  readonly time: string;
}

let known: Build | undefined;

/** Version, and commit and time of the build if the package was given them. */
export const build = (): Build => {
  if (known) return known;
  // compiled, this file lies in dist/bin/
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const manifest = JSON.parse(text) as Readonly<Record<string, unknown>>; // our own file: an object
  const field = (name: string): string => {
    const value = manifest[name];
    return typeof value === 'string' && value !== '' ? value : 'unknown';
  };
  // gitHead is npm's name for the commit a package was made from
  known = { version: `v${field('version')}`, commit: field('gitHead'), time: field('buildTime') };
  return known;
};

/** `<version>-<commit>`, as `--output-json` has it. */
export const versionId = (): string => `${build().version}-${build().commit}`;

/**
 * What `--version` prints: the layout of nydus-image, byte for byte, except that the compiler's
 * line names Node. A client extracts the version with /Version:\s*(v.*)/.
 */
export const versionText = (): string => {
  const { version, commit, time } = build();
  return [
    ` \rVersion: \t${version}`,
    `Git Commit: \t${commit}`,
    `Build Time: \t${time}`,
    'Profile: \trelease',
    `Node: \t\t${process.version}`,
    '\n',
  ].join('\n');
};
