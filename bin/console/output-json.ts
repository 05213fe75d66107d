/** What `--output-json` writes: the result of a command that made or loaded a bootstrap. */
import type { RafsVersion } from '../../lib/model/version.js';
import {
  chmodSync,
  lstatSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Compressor } from '../../lib/layout/compressors.js';
import { flushDirectorySync } from '../../streams/files/flush.js';
import { temporaryName } from '../../streams/files/temporary-name.js';
import { versionId } from '../version.js';

export interface Output {
  /** path; '' if the bootstrap is inside the blob */
  bootstrap: string;
  /** ids of all blobs of the blob table, by blob index */
  blobs: readonly string[];
  externalBootstrap?: string;
  externalBlobs?: readonly string[];
  /** seconds by name */
  consumedTime?: Readonly<Record<string, number>>;
  registeredEvents?: Readonly<Record<string, number | string>>;
  fsVersion: RafsVersion;
  /** the one in effect */
  compressor: Compressor;
}

/** The JSON text: indented by two spaces or compact, without a trailing newline. */
export const outputJson = (output: Output, { pretty }: { pretty: boolean }): string => {
  // readers may depend on this order of keys
  const value = {
    version: versionId(),
    bootstrap: output.bootstrap,
    blobs: output.blobs,
    external_bootstrap: output.externalBootstrap ?? '',
    external_blobs: output.externalBlobs ?? [],
    trace: {
      consumed_time: output.consumedTime ?? {},
      registered_events: output.registeredEvents ?? {},
    },
    fs_version: String(output.fsVersion),
    compressor: output.compressor,
  };
  return JSON.stringify(value, null, pretty ? 2 : 0);
};

/**
 * Writes `text` to a file, which is either whole or as it was before; the last thing a command
 * does. FIFOs, devices and what a dangling symlink leads to are written in place.
 *
 * @throws Error with the system's error as its cause
 */
export const writeOutputJson = (
  path: string,
  text: string,
  { fsync = true }: { fsync?: boolean } = {},
): void => {
  try {
    const there = statSync(path, { throwIfNoEntry: false });
    const isDangling = !there && lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    if (isDangling || (there && !there.isFile())) writeFileSync(path, text);
    else replaceFile(there ? realpathSync(path) : path, text, { mode: there?.mode, fsync });
  } catch (cause) {
    throw new Error(`can not open output file ${path}`, { cause });
  }
};

const replaceFile = (
  path: string,
  text: string,
  { mode, fsync }: { mode: number | undefined; fsync: boolean },
): void => {
  const temporary = temporaryName(dirname(path));
  try {
    writeFileSync(temporary, text, { flag: 'wx', flush: fsync });
    if (mode !== undefined) chmodSync(temporary, mode & 0o7777);
    renameSync(temporary, path);
    if (fsync) flushDirectorySync(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
};
