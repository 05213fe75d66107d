/** What is left of a run: names of files below a folder, those that begin with a dot too. */
import fs from 'node:fs';

export const filesBelow = (folder: string): string[] =>
  fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
