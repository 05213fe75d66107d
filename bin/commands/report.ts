/** report: a page that shows what images are made of. */
import { openOutputTo } from '../../streams/io/open-output.js';
import { reportImages } from '../../streams/report/report-images.js';
import type { Run } from '../cli/context.js';
import { writeOutputJson } from '../console/output-json.js';

export const run: Run<'report'> = async ({ values, positionals }, { log, signal }) => {
  const { output, source, insecure } = values;
  const made = await reportImages({
    images: positionals,
    ...(source === undefined ? {} : { source }),
    transport: { insecure },
    signal,
    onNotice: text => log.warn(text),
  });
  const json = values['output-json'];
  if (json !== undefined) writeOutputJson(json, JSON.stringify(made.report));
  const file = await openOutputTo(output, { signal });
  try {
    await file.write([Buffer.from(made.page)]);
    await file.finish();
  } catch (error) {
    await file.abandon();
    throw error;
  }
  if (output !== '-') log.info(`the report is in ${output}: open it in a browser`);
};
