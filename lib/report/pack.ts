/** A report as the text that the page carries. */
import { deflateRawSync } from 'node:zlib';
import type { GatheredImage } from './image-report.js';
import { pullCosts } from './pull-cost.js';
import type { Report } from './report.js';

/** The report as an object, and the columns of its trees, one behind another. */
export const assembleReport = (
  images: readonly GatheredImage[],
): { report: Report; columns: Buffer } => {
  const columns: Buffer[] = [];
  let offset = 0;
  const reports = images.map(({ report, rows }) => {
    const offsets = [offset];
    for (const column of rows.columns) {
      columns.push(column);
      offset += column.length;
      offsets.push(offset);
    }
    return { ...report, tree: { names: rows.names, offsets } };
  });
  const pulls = pullCosts(images.map(({ chunks }) => chunks));
  return { report: { images: reports, pulls }, columns: Buffer.concat(columns) };
};

/** JSON, a NUL and the columns: deflated (RFC 1951), in base64. */
export const packReport = ({ report, columns }: { report: Report; columns: Buffer }): string =>
  deflateRawSync(Buffer.concat([Buffer.from(`${JSON.stringify(report)}\0`), columns]), {
    level: 9,
  }).toString('base64');
