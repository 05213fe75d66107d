/** Counts what images hold and what they share. */
import { readdir, stat as statFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import type { Digester } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { StatisticsGatherer, type Statistics } from '../../lib/image/statistics.js';
import type { Run } from '../cli/context.js';
import { writeOutputJson } from '../console/output-json.js';
import { statisticsText } from '../console/statistics-text.js';
import type { CommandIo } from '../console/text-buffer.js';
import { readImage } from '../../streams/image/read-image.js';

export interface StatOptions {
  /** the base image; takes precedence over `blobDir` */
  bootstrap?: string | undefined;
  /** every image in it is a base image, and they are compared with one another */
  blobDir?: string | undefined;
  /** compared with the base */
  target?: string | undefined;
  /** images with another one are counted but not compared; default: blake3 */
  digester?: Digester | undefined;
  /** print nothing: only the result is wanted */
  quiet?: boolean;
}

export const run: Run<'stat'> = async ({ values }, context) => {
  const { bootstrap, 'blob-dir': blobDir, target, digester, 'output-json': json } = values;
  const quiet = json !== undefined;
  const statistics = await stat({ bootstrap, blobDir, target, digester, quiet }, context);
  if (json !== undefined) writeOutputJson(json, JSON.stringify(statistics), context);
};

export const stat = async (
  { bootstrap, blobDir, target, digester = 'blake3', quiet = false }: StatOptions,
  io: CommandIo,
): Promise<Statistics> => {
  if (bootstrap === undefined && blobDir === undefined) {
    throw new RafsError('UNSUPPORTED', 'one of `--bootstrap` and `--blob-dir` must be specified');
  }
  const dedup = bootstrap === undefined;
  const gatherer = new StatisticsGatherer({ digester, dedup });
  if (bootstrap !== undefined) gatherer.addBase((await readImage(bootstrap)).bootstrap);
  else {
    for (const path of await imagesIn(blobDir!, target)) {
      // a directory of images may have other files too
      const image = await readImage(path).catch((error: unknown) => {
        if (error instanceof RafsError) return undefined;
        throw error;
      });
      if (image) gatherer.addBase(image.bootstrap);
    }
  }
  if (target !== undefined) gatherer.addTarget((await readImage(target)).bootstrap);
  const statistics = gatherer.result();
  if (!quiet) await io.stdout(statisticsText(statistics, dedup ? gatherer.dedupRows() : []));
  return statistics;
};

/** Regular files without an extension, except the target; in the order of their names. */
const imagesIn = async (directory: string, target: string | undefined): Promise<string[]> => {
  const paths: string[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    if (extname(name) !== '' || (target !== undefined && resolve(path) === resolve(target))) {
      continue;
    }
    if ((await statFile(path)).isFile()) paths.push(path);
  }
  return paths;
};
