/** Options of commands for whole images. */
import { VERSION_NAMES } from '../../lib/model/version.js';
import { WRITTEN_COMPRESSORS } from '../../lib/layout/compressors.js';
import type { CommandRow } from './option-row.js';
import { BACKEND, OUTPUT_JSON, wholeNumber } from './shared.js';

const CONVERT = {
  about: 'Convert a container image to Nydus, or back',
  positional: {
    name: 'SOURCE',
    second: 'TARGET',
    requiredUnless: ['source', 'source-archive'],
    conflicts: ['source', 'target', 'source-archive', 'target-archive'],
    about:
      'Images: docker://HOST/NAME:TAG (or without docker://), oci:DIRECTORY[:TAG], ' +
      'oci-archive:FILE[:TAG] or, only as SOURCE, docker-archive:FILE[:TAG]; FILE may be - ' +
      'for stdin or stdout',
  },
  options: {
    mode: {
      values: ['native', 'zran', 'tarfs'],
      default: 'native',
      about:
        'What becomes of a layer: its data stored anew, only an index into the layer as it is, ' +
        'or the plain tar and an index into it',
    },
    'oci-ref': { flag: true, aliases: ['docker-v2-ref'], about: 'The same as --mode zran' },
    flatten: {
      flag: true,
      about: 'Make one data layer of what is visible in the image; for --mode native',
    },
    'fs-version': {
      values: VERSION_NAMES,
      default: '6',
      about: 'Version of the RAFS format',
    },
    compressor: {
      values: WRITTEN_COMPRESSORS,
      default: 'zstd',
      about: 'How chunks are compressed',
    },
    'chunk-size': {
      aliases: ['fs-chunk-size'],
      default: '0x100000',
      about: 'Size of chunks: a power of two from 0x1000 to 0x1000000',
    },
    'batch-size': {
      default: '0',
      about: 'Store small chunks together in batches of this size; 0 for never',
    },
    'aligned-chunk': {
      flag: true,
      aliases: ['fs-align-chunk', 'backend-aligned-chunk'],
      about: 'Start chunks at multiples of 4 KiB; version 6 always does',
    },
    encrypt: { short: 'E', flag: true, about: 'Encrypt chunks with AES-128-XTS' },
    'prefetch-patterns': {
      flag: true,
      about: 'Read absolute paths of files to prefetch from stdin, one a line',
    },
    'prefetch-dir': {
      conflicts: ['prefetch-patterns'],
      about: 'Path in the image to prefetch instead of everything',
    },
    'chunk-dict': {
      about:
        'Nydus image whose chunks need not be stored again: an image as SOURCE, or ' +
        'bootstrap:registry:REFERENCE, or, with --backend-type, bootstrap:local:FILE',
    },
    'chunk-dict-insecure': {
      flag: true,
      about: 'Speak plain HTTP with the registry of --chunk-dict',
    },
    'backend-type': {
      values: ['oss', 's3', 'localfs'],
      about: 'Storage that the blobs are written to instead of TARGET, which only names them',
    },
    'backend-config': { ...BACKEND['backend-config'], requires: ['backend-type'] },
    'backend-config-file': { ...BACKEND['backend-config-file'], requires: ['backend-type'] },
    'backend-force-push': { flag: true, about: 'Also write blobs that the storage has' },
    platform: { list: true, about: 'Platforms to convert, as linux/arm64, separated by commas' },
    'all-platforms': {
      flag: true,
      conflicts: ['platform'],
      about: 'Convert the images of all platforms',
    },
    'merge-platform': {
      flag: true,
      about: 'Make an index of the ordinary image and the Nydus image',
    },
    'with-referrer': {
      flag: true,
      about: 'Name SOURCE as the subject of the result, so that it can be found from there',
    },
    source: { hidden: true, about: 'The same as SOURCE' },
    target: { hidden: true, about: 'The same as TARGET' },
    'source-archive': { hidden: true, about: 'The same as oci-archive: as SOURCE' },
    'target-archive': { hidden: true, about: 'The same as oci-archive: as TARGET' },
    'target-suffix': { hidden: true, about: 'TARGET is SOURCE with this after its tag' },
    'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of SOURCE' },
    'target-insecure': { flag: true, about: 'Speak plain HTTP with the registry of TARGET' },
    memory: {
      default: '256MiB',
      about: 'Memory for the process: fewer layers are converted at once if there is less',
    },
    'spool-limit': {
      default: '64GiB',
      about: 'Disk space for an archive that comes through a pipe or is compressed',
    },
    workers: {
      number: wholeNumber(0, 256),
      defaultText: 'processors less one',
      about: 'Threads that compress beside the main thread; the result does not depend on it',
    },
    reverse: {
      flag: true,
      about: 'Make an ordinary image of a Nydus image, whatever its mode',
    },
    'build-cache': {
      about: 'Image that lists layers which earlier runs have converted; read, and written anew',
    },
    'dry-run': { flag: true, about: 'Only say what would be done' },
    'output-json': OUTPUT_JSON,
    // of nydusify: how it runs a builder and pushes, which is settled here
    'nydus-image': { hidden: true, about: 'Without effect' },
    'work-dir': { hidden: true, about: 'Without effect' },
    'push-retry-count': { hidden: true, about: 'Without effect' },
    'push-retry-delay': { hidden: true, about: 'Without effect' },
    oci: { flag: true, hidden: true, about: 'Without effect: the result always is OCI' },
    'plain-http': { flag: true, hidden: true, about: 'Both registries speak plain HTTP' },
  },
} as const satisfies CommandRow;

const COPY = {
  about: 'Copy an image with all that it needs, also layers that it only refers to',
  positional: {
    name: 'SOURCE',
    second: 'TARGET',
    requiredUnless: ['source', 'source-archive'],
    conflicts: ['source', 'target', 'source-archive', 'target-archive'],
    about: 'Images, as for convert',
  },
  options: {
    platform: { list: true, about: 'Platforms to copy, as linux/arm64; all unless given' },
    'all-platforms': { flag: true, hidden: true, about: 'Without effect' },
    source: { hidden: true, about: 'The same as SOURCE' },
    target: { hidden: true, about: 'The same as TARGET' },
    'source-archive': { hidden: true, about: 'The same as oci-archive: as SOURCE' },
    'target-archive': { hidden: true, about: 'The same as oci-archive: as TARGET' },
    'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of SOURCE' },
    'target-insecure': { flag: true, about: 'Speak plain HTTP with the registry of TARGET' },
    'spool-limit': {
      default: '64GiB',
      about: 'Disk space for an archive that comes through a pipe or is compressed',
    },
    'plain-http': { flag: true, hidden: true, about: 'Both registries speak plain HTTP' },
  },
} as const satisfies CommandRow;

const REPORT = {
  about: 'Make a page that shows what images are made of',
  positional: {
    name: 'IMAGE',
    many: true,
    required: true,
    about: 'Bootstraps, blobs with a bootstrap in them, or whole Nydus images, as for convert',
  },
  options: {
    output: { short: 'o', file: 'output', default: 'report.html', about: 'File for the page' },
    source: { about: 'Image that IMAGE was made of: its layers are shown beside the blobs' },
    'output-json': { ...OUTPUT_JSON, about: 'Write what the page shows as JSON to this file' },
    insecure: { flag: true, about: 'Speak plain HTTP with registries' },
  },
} as const satisfies CommandRow;

/** By the words that call them. */
export const IMAGES = {
  convert: CONVERT,
  copy: COPY,
  report: REPORT,
};
