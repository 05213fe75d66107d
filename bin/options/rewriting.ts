/** Options of commands that make images of images. */
import type { CommandRow } from './option-row.js';
import { CONFIG, CHUNK_DICT, PREFETCH_POLICY, OUTPUT_JSON, BACKEND } from './shared.js';

const MERGE = {
  about: 'Combine the bootstraps of layers into one',
  positional: {
    name: 'SOURCE',
    file: 'input',
    many: true,
    required: true,
    about: 'Bootstraps, or blobs with a bootstrap in them, lowest layer first',
  },
  options: {
    'parent-bootstrap': { file: 'input', about: 'Bootstrap below all of SOURCE' },
    bootstrap: { short: 'B', file: 'output', about: 'File for the merged bootstrap' },
    'blob-dir': {
      short: 'D',
      about:
        'Directory with the blobs, and for the bootstrap where --bootstrap is not given, named by its SHA-256',
    },
    'chunk-dict': CHUNK_DICT,
    'prefetch-policy': PREFETCH_POLICY,
    'output-json': OUTPUT_JSON,
    'blob-digests': { list: true, about: 'SHA-256 of each blob, separated by commas' },
    'original-blob-ids': { list: true, about: 'Id of each blob, separated by commas' },
    'blob-sizes': { list: true, about: 'Size of each blob, separated by commas' },
    'blob-toc-digests': { list: true, about: 'SHA-256 of each TOC, separated by commas' },
    'blob-toc-sizes': { list: true, about: 'Size of each TOC, separated by commas' },
    config: CONFIG,
  },
} as const satisfies CommandRow;

const OPTIMIZE = {
  about: 'Copy the chunks to prefetch into a blob of their own',
  options: {
    bootstrap: { short: 'B', file: 'input', required: true, about: 'Bootstrap to start from' },
    'prefetch-files': {
      short: 'p',
      file: 'input',
      about: 'JSON file with the files and ranges to prefetch',
    },
    'output-blob-dir': { about: 'Directory for the new blob' },
    'output-bootstrap': {
      short: 'O',
      file: 'output',
      default: 'optimized_bootstrap',
      about: 'File for the new bootstrap',
    },
    config: CONFIG,
    'blob-dir': { short: 'D', conflicts: ['config'], about: 'Directory with the blobs' },
    ...BACKEND,
    blob: { short: 'b', about: 'Without effect' },
    'output-json': OUTPUT_JSON,
  },
} as const satisfies CommandRow;

const COMPACT = {
  about: 'Rewrite blobs without the chunks that no file uses',
  options: {
    bootstrap: { short: 'B', file: 'input', required: true, about: 'Bootstrap to start from' },
    'blob-dir': {
      short: 'D',
      requiredUnless: ['config'],
      about: 'Directory for new blobs; also of the old ones unless they are in a storage',
    },
    config: {
      file: 'input',
      about:
        'File with these rules, as JSON: min_used_ratio, compact_blob_size, max_compact_size, ' +
        'layers_to_compact, and blobs_dir instead of --blob-dir; options take precedence',
    },
    ...BACKEND,
    'min-used-ratio': {
      default: '0',
      about: 'Rewrite blobs that are used less than this, in percent',
    },
    'compact-blob-size': { default: '10485760', about: 'Join blobs smaller than this' },
    'max-compact-size': { default: '104857600', about: 'Largest blob made by joining' },
    'layers-to-compact': { default: '0', about: 'Do nothing if there are fewer blobs' },
    'chunk-dict': CHUNK_DICT,
    'output-bootstrap': {
      short: 'O',
      file: 'output',
      defaultText: 'the bootstrap with its extension replaced by bootstrap.compact',
      about: 'File for the new bootstrap',
    },
    'output-json': OUTPUT_JSON,
  },
} as const satisfies CommandRow;

const CHUNKDICT_GENERATE = {
  about: 'Choose chunks worth sharing from many images',
  positional: {
    name: 'SOURCE',
    file: 'input',
    many: true,
    required: true,
    about: 'Bootstraps, each in a directory named IMAGE:TAG',
  },
  options: {
    database: {
      file: 'output',
      default: 'sqlite:///home/runner/output/database.db',
      about: 'Database to collect chunks in, as sqlite:// and an absolute path',
    },
    bootstrap: { short: 'B', file: 'output', about: 'File for the bootstrap of the dictionary' },
    'blob-dir': {
      short: 'D',
      about: 'Directory for that bootstrap if --bootstrap is not given',
    },
    'prefetch-policy': PREFETCH_POLICY,
    'output-json': OUTPUT_JSON,
    config: CONFIG,
    verbose: { short: 'v', flag: true, about: 'Without effect' },
  },
} as const satisfies CommandRow;

/** By the words that call them. */
export const REWRITING = {
  merge: MERGE,
  optimize: OPTIMIZE,
  compact: COMPACT,
  'chunkdict generate': CHUNKDICT_GENERATE,
};
