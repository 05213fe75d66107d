/** What a program imports from 'rafs-stream'. */
export { RafsError, type Code, type ErrorContext } from '../lib/errors.js';
export {
  createImage,
  type CreateImageOptions,
  type CreatedImage,
  type LayerBase,
  type LayerFormat,
} from './image/create-image.js';
export {
  rafs,
  tarfs,
  zran,
  type RafsOptions,
  type TarfsOptions,
  type ZranOptions,
} from './image/rafs.js';
export type { Messages, Progress, RunOptions } from './image/run-options.js';
export type { ByteDuplex, Resulting } from './io/byte-stream.js';
export {
  convertImage,
  type ConvertedImage,
  type ConvertImageOptions,
  type LayerProgress,
} from './convert/convert-image.js';
export { reverseImage, type ReverseImageOptions } from './convert/reverse-image.js';
export { copyImage, type CopyImageOptions } from './convert/copy-image.js';
export { compareImages, type CompareOptions, type Comparison } from './convert/compare-images.js';
export {
  openImageSource,
  openImageTarget,
  type TransportOptions,
} from './transport/open-transport.js';
export type { ImageSource } from './transport/source.js';
export type { ImageTarget } from './transport/target.js';
