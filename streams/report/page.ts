/** The page of reports, which scripts/build.mjs makes; it lies beside this file. */
import { readFile } from 'node:fs/promises';

/** Where the page takes its data. */
const DATA = '%DATA%';

/** The page with a packed report in it. */
export const pageWith = async (packed: string): Promise<string> => {
  const page = await readFile(new URL('./report.html', import.meta.url), 'utf8');
  const [before, after] = page.split(DATA) as [string, string];
  return before + packed + after;
};
