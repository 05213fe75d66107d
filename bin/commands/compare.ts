/** check --source: compares the files of two images. */
import { RafsError } from '../../lib/errors.js';
import type { Difference } from '../../lib/oci/image-tree.js';
import { givenLocation } from '../../streams/image/blob-location.js';
import { compareImages } from '../../streams/nydus/compare-images.js';
import { openImageSource } from '../../streams/transport/open-transport.js';
import type { Run } from '../cli/context.js';
import { platformsOf, transportOptions } from '../cli/image-names.js';
import { writeOutputJson } from '../console/output-json.js';
import { shown } from '../../lib/model/names.js';

/** Prints every difference; fails with MISMATCH if there is one. */
export const compare: Run<'check'> = async ({ values, positionals }, context) => {
  const { log, signal } = context;
  const name = positionals[0];
  if (name === undefined || values.source === undefined) {
    throw new RafsError('USAGE', 'check --source SOURCE needs the image to compare with');
  }
  const reach = transportOptions(values, context);
  const source = await openImageSource(values.source, reach.source);
  try {
    const target = await openImageSource(name, reach.target);
    try {
      const platforms = platformsOf(values);
      const blobs = await givenLocation({ backend: values, blobDir: values['blob-dir'] });
      const { fileCount, differences } = await compareImages({
        source,
        target,
        ...(blobs ? { blobs } : {}),
        signal,
        ...(platforms ? { platforms } : {}),
        onNotice: text => log.info(text),
      });
      for (const one of differences) await context.stdout(`${lineOf(one)}\n`);
      if (values['output-json'] !== undefined) {
        const json = JSON.stringify({ fileCount, differences });
        writeOutputJson(values['output-json'], json, context);
      }
      if (differences.length > 0) {
        const count =
          differences.length === 1 ? '1 difference' : `${differences.length} differences`;
        throw new RafsError('MISMATCH', `${count} between ${source.name} and ${target.name}`);
      }
      log.info(`the same ${fileCount} files in ${source.name} and ${target.name}`);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
};

const lineOf = ({
  path,
  kind,
  due,
  found,
  platform,
}: Difference & { platform?: string }): string => {
  const where = platform === undefined ? '' : `${platform} `;
  return `${where}/${shown(path)}: ${kind}: ${shown(due)} -> ${shown(found)}`;
};
