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
