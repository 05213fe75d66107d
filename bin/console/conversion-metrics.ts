/** What `convert --output-json` writes, with the names and units of nydusify. */
import type { ConvertedImage } from '../../streams/convert/convert-image.js';

const NANOSECONDS = 1e9;

export const conversionMetrics = (
  names: { source: string; target: string },
  { images, sourceSize, targetSize }: Pick<ConvertedImage, 'images' | 'sourceSize' | 'targetSize'>,
  seconds: number,
): string => {
  const metrics = {
    SourceImage: names.source,
    TargetImage: names.target,
    TargetDigests: images.map(({ descriptor }) => descriptor.digest),
    SourceImageSize: sourceSize,
    TargetImageSize: targetSize,
    // layers are pulled, converted and pushed at the same time
    SourcePullElapsed: 0,
    ConversionElapsed: Math.round(seconds * NANOSECONDS),
    TargetPushElapsed: 0,
  };
  return `${JSON.stringify(metrics)}\n`;
};
