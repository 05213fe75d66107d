/** Blobs in files: one file for all of them, or files in directories, named by blob id. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalFsBackend } from '../../lib/config/backends.js';
import { openReaderAt } from '../io/reader-at.js';
import type { Storage } from './storage.js';
import { shown } from '../../lib/model/names.js';

export const localFs = (backend: LocalFsBackend): Storage => ({
  async open(id) {
    return openReaderAt(await pathOf(backend, shown(id)));
  },
});

/** The first file that exists and is not empty; the one in `dir` if there is none. */
const pathOf = async (
  { blobFile, dir, altDirs }: LocalFsBackend,
  name: string,
): Promise<string> => {
  if (blobFile !== '') return blobFile;
  const paths = [dir, ...altDirs].map(folder => join(folder, name));
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined); // opening it reports why
    if (found && found.size > 0) return path;
  }
  return paths[0]!;
};
