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
export { checkImage, type CheckedImage, type CheckImageOptions } from './image/check-image.js';
export {
  mergeImages,
  type MergedImage,
  type MergeImagesOptions,
  type MergeLayer,
} from './image/merge-images.js';
export {
  imageTar,
  unpackImage,
  type ImageTarOptions,
  type UnpackedImage,
  type UnpackImageOptions,
} from './image/unpack-image.js';
export {
  exportImage,
  imageDisk,
  type DiskVerity,
  type ExportedImage,
  type ExportImageOptions,
  type ImageDiskOptions,
} from './image/export-image.js';
export {
  openImage,
  type ImageBlob,
  type ImageEntry,
  type OpenedImage,
  type OpenImageOptions,
} from './image/open-image.js';
export type { BlobLocation, BlobsInput } from './image/blob-location.js';
export type { Image, ImageInput } from './image/read-image.js';
export { compactImage, type CompactImageOptions } from './rewrite/compact-image.js';
export { optimizeImage, type OptimizeImageOptions } from './rewrite/optimize-image.js';
export type { RewrittenImage } from './rewrite/rewritten-image.js';
export type { Messages, Progress, RunOptions } from './image/run-options.js';
export type { ByteDuplex, ByteReadable, Resulting } from './io/byte-stream.js';
export {
  convertImage,
  type ConvertedImage,
  type ConvertImageOptions,
} from './convert/convert-image.js';
export { reportImages, type ImageReportPage, type ReportOptions } from './report/report-images.js';
export type { Report, ImageReport } from '../lib/report/report.js';
export type { LayerProgress } from './convert/layer-queue.js';
export { reverseImage, type ReverseImageOptions } from './nydus/reverse-image.js';
export { copyImage, type CopyImageOptions } from './nydus/copy-image.js';
export { compareImages, type CompareOptions, type Comparison } from './nydus/compare-images.js';
export {
  openImageSource,
  openImageTarget,
  type TransportOptions,
} from './transport/open-transport.js';
export { openBlobStore, type BlobStore, type BlobStoreOptions } from './transport/blob-store.js';
export { openDictFile, openImageDict, type ImageDictOptions } from './nydus/image-dict.js';
export type { ImageDict } from './convert/convert-manifest.js';
export type { ImageSource } from './transport/source.js';
export type { ImageTarget } from './transport/target.js';
