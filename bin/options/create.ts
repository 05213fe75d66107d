/** Options of `create`. */
import { VERSION_NAMES } from '../../lib/model/version.js';
import { WRITTEN_COMPRESSORS } from '../../lib/layout/compressors.js';
import { TYPE_NAMES } from '../../lib/config/conversions.js';
import type { CommandRow } from './option-row.js';
import { CONFIG, CHUNK_DICT, PREFETCH_POLICY, OUTPUT_JSON, wholeNumber } from './shared.js';

export const CREATE = {
  about: 'Build a layer from a directory or a tar (plain, gzip or zstd)',
  positional: {
    name: 'SOURCE',
    file: 'input',
    required: true,
    about: 'What to build from: a path, which for tars may be a FIFO or /dev/stdin',
  },
  options: {
    type: {
      short: 't',
      aliases: ['source-type'],
      values: TYPE_NAMES,
      default: 'dir-rafs',
      about:
        'What SOURCE is and what becomes of it: *-rafs stores its data in a blob, *-ref and ' +
        'tar-tarfs leave the data where they are and only index them',
    },
    bootstrap: {
      short: 'B',
      file: 'output',
      requiredUnless: ['blob-dir', 'blob-inline-meta'],
      conflicts: ['blob-inline-meta'],
      about: 'File for the bootstrap',
    },
    'blob-dir': {
      short: 'D',
      about:
        'Directory for the blob, named by its id, and for the bootstrap where --bootstrap is not given',
    },
    blob: {
      short: 'b',
      file: 'output',
      // nydus-image requires --external-blob by the same rule and so refuses calls that real
      // clients make; and it requires --blob with --blob-cache-dir, with which it conflicts.
      requiredUnless: ['type', 'blob-dir', 'blob-cache-dir'],
      about: 'File or FIFO for the blob',
    },
    'external-blob': { file: 'output', about: 'File or FIFO for the metadata of external data' },
    'blob-inline-meta': {
      flag: true,
      aliases: ['inline-bootstrap'],
      conflicts: ['blob-id', 'blob-cache-dir'],
      about: 'Put the bootstrap into the blob instead of a file of its own',
    },
    'blob-id': {
      requiredIf: ['type', ['estargztoc-ref', 'stargz_index']],
      about: 'Id of the blob, at most 255 bytes; its SHA-256 unless given',
    },
    'blob-data-size': { about: 'Size of the layer behind an eStargz TOC, in hex' },
    'blob-offset': {
      hidden: true,
      default: '0',
      about: 'Where the data start in the file they end up in',
    },
    'chunk-size': {
      defaultText: '0x100000, with estargztoc-ref 0x400000',
      about: 'Size of chunks: a power of two from 0x1000 to 0x1000000',
    },
    'batch-size': {
      default: '0',
      about:
        'Store small chunks together in batches of this size: 0 for never, or a power of two ' +
        'from 0x1000 to the chunk size',
    },
    compressor: {
      values: WRITTEN_COMPRESSORS,
      default: 'zstd',
      conflicts: ['blob-cache-dir'],
      about: 'How chunks are compressed',
    },
    digester: {
      values: ['blake3', 'sha256'],
      default: 'blake3',
      about: 'How chunks are named',
    },
    config: CONFIG,
    'fs-version': {
      short: 'v',
      values: VERSION_NAMES,
      default: '6',
      about: 'Version of the RAFS format',
    },
    features: { values: ['blob-toc'], about: 'Extras: blob-toc adds a table of contents' },
    'chunk-dict': CHUNK_DICT,
    'parent-bootstrap': { file: 'input', about: 'Bootstrap of the layers below this one' },
    'aligned-chunk': {
      flag: true,
      about: 'Start chunks at multiples of 4 KiB; version 6 always does',
    },
    repeatable: {
      flag: true,
      about: 'Do not record owners; with --mtime-clamp, equal directories give equal images',
    },
    owner: {
      conflicts: ['repeatable'],
      about: 'Record this owner for every file of a directory, as UID:GID',
    },
    'mtime-clamp': {
      defaultText: 'SOURCE_DATE_EPOCH of the environment, if there is one',
      about:
        'Seconds since 1970: what of a directory was changed later is recorded as changed then, ' +
        'and its root, whose time otherwise is 0, as any other file',
    },
    'disable-check': { flag: true, hidden: true, about: 'Without effect' },
    'whiteout-spec': {
      values: ['oci', 'overlayfs', 'none'],
      default: 'oci',
      about: 'How SOURCE marks deleted files; none keeps such marks as files',
    },
    'prefetch-policy': PREFETCH_POLICY,
    'output-json': OUTPUT_JSON,
    encrypt: { short: 'E', flag: true, about: 'Encrypt chunks with AES-128-XTS' },
    'blob-cache-dir': {
      conflicts: ['blob', 'blob-dir'],
      about: 'Directory for a blob cache such as nydusd makes, instead of a blob',
    },
    attributes: {
      file: 'input',
      about: 'File that says which files are external, as gitattributes',
    },
    workers: {
      number: wholeNumber(0, 256),
      defaultText: 'processors less one',
      about: 'Threads that compress beside the main thread; the result does not depend on it',
    },
  },
} as const satisfies CommandRow;
