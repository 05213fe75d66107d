/** copy: an image with all that it needs, from one place to another. */
import { copyImage } from '../../streams/nydus/copy-image.js';
import { openImageSource, openImageTarget } from '../../streams/transport/open-transport.js';
import type { Run } from '../cli/context.js';
import { imageNames, platformsOf, transportOptions } from '../cli/image-names.js';

export const run: Run<'copy'> = async ({ values, positionals }, context) => {
  const { log, signal } = context;
  const names = imageNames(values, positionals);
  const reach = transportOptions(values, context);
  const source = await openImageSource(names.source, reach.source);
  try {
    const target = await openImageTarget(names.target, reach.target);
    try {
      const counts = { there: 0, mounted: 0, copied: 0 };
      const platforms = platformsOf(values);
      const { digest } = await copyImage({
        source,
        target,
        signal,
        ...(platforms ? { platforms } : {}),
        onBlob: (blob, done) => {
          counts[done]++;
          log.debug(`${blob.digest}: ${done}`);
        },
        onNotice: text => log.info(text),
      });
      const { copied, mounted, there } = counts;
      log.info(
        `copied ${source.name} to ${target.name}: ${digest} ` +
          `(${copied} blobs copied, ${mounted} mounted, ${there} there already)`,
      );
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
};
