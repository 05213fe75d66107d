/** Outputs of nydus-image, and altered copies of them. */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RafsError } from '../../../lib/errors.js';
import { numbers } from '../random.js';

const ROOT = fileURLToPath(new URL('../../../../test/fixtures/golden/', import.meta.url));

/** Path of a file of a case. */
export const goldenPath = (name: string, file = 'boot'): string => `${ROOT}${name}/${file}`;

export const golden = (name: string, file = 'boot'): Buffer =>
  fs.readFileSync(goldenPath(name, file));

/** The folder of a case. */
export const goldenFolder = (name: string): string => `${ROOT}${name}`;

/** The one file of a case that is named by its id. */
export const goldenBlob = (name: string): string => {
  const found = fs.readdirSync(goldenFolder(name)).find(file => /^[0-9a-f]{64}$/.test(file));
  if (found === undefined) throw new Error(`${name} has no blob`);
  return goldenPath(name, found);
};

export interface Expected {
  id: string;
  case: string;
  argv: string[];
  stdout: string;
  json?: Record<string, unknown>;
}

/** What nydus-image printed for the images that are here. */
export const expected = (): Expected[] =>
  JSON.parse(fs.readFileSync(`${ROOT}expected.json`, 'utf8')) as Expected[]; // our own file

const WITH_BOOTSTRAP = fs
  .readdirSync(ROOT)
  .filter(name => fs.existsSync(goldenPath(name)))
  .sort();

/** Cases that have a bootstrap of their own, of version 6 and of version 5. */
export const BOOTSTRAPS = WITH_BOOTSTRAP.filter(name => !name.endsWith('.v5'));
export const BOOTSTRAPS_V5 = WITH_BOOTSTRAP.filter(name => name.endsWith('.v5'));

/** Altered copies: cut anywhere, or with a few bytes or bits changed where there are some. */
export function* altered(bytes: Buffer, count: number, seed = 1): Iterable<Buffer> {
  const next = numbers(seed);
  const used: number[] = [];
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) used.push(i);
  for (let i = 0; i < count; i++) {
    if (i % 8 === 0) {
      yield bytes.subarray(0, next(bytes.length));
      continue;
    }
    const copy = Buffer.from(bytes);
    for (let k = 0; k <= next(3); k++) {
      const at = next(4) > 0 ? used[next(used.length)]! : next(copy.length);
      copy[at] = next(2) > 0 ? next(256) : copy[at]! ^ (1 << next(8));
    }
    yield copy;
  }
}

/** Runs `work`: undefined if it succeeds, the RafsError if it fails with one; others go on. */
export const failure = (work: () => unknown): RafsError | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof RafsError) return error;
    throw error;
  }
};

export const failureOf = async (work: Promise<unknown>): Promise<RafsError | undefined> => {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof RafsError) return error;
    throw error;
  }
};
