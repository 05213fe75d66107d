/** Options of commands that read images. */
import type { CommandRow } from './option-row.js';
import {
  CONFIG,
  OUTPUT_JSON,
  BACKEND,
  BOOTSTRAP_ARGUMENT,
  BOOTSTRAP_OPTION,
  LOOKUP,
} from './shared.js';

const CHECK = {
  about: 'Verify a bootstrap, and its blobs if given, and list the blobs it needs',
  positional: BOOTSTRAP_ARGUMENT,
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    ...LOOKUP,
    ...BACKEND,
    'backend-type': { ...BACKEND['backend-type'], conflicts: ['blob-dir', 'config'] },
    strict: {
      flag: true,
      about: 'Fail if a blob is missing, or if no digest proves that a file is unchanged',
    },
    sha256: {
      about: 'The sha256 of the bootstrap, in hex, if its name is another; as --strict requires',
    },
    'any-blob-id': {
      flag: true,
      about: 'Do not compare ids of blobs with their sha256: they were given by --blob-id',
    },
    source: {
      about:
        'Image that the positional argument is then the image of: their files are compared one ' +
        'by one, as a container would see them',
    },
    'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of --source' },
    'target-insecure': { flag: true, about: 'Speak plain HTTP with the other registry' },
    platform: { list: true, about: 'With --source: platforms to compare' },
    'all-platforms': { flag: true, conflicts: ['platform'], about: 'With --source: compare all' },
    verbose: { short: 'v', flag: true, about: 'List files and chunks' },
    'output-json': OUTPUT_JSON,
  },
} as const satisfies CommandRow;

const INSPECT = {
  about: 'Look inside a bootstrap, at a prompt or with one request',
  positional: BOOTSTRAP_ARGUMENT,
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    ...LOOKUP,
    request: {
      short: 'R',
      about:
        'Answer this and leave: stats, blobs, prefetch, ls, stat NAME, cd DIR, chunk OFFSET, ' +
        'or icheck INODE',
    },
  },
} as const satisfies CommandRow;

const STAT = {
  about: 'Show counts and sizes of bootstraps, and what they share',
  options: {
    bootstrap: { short: 'B', file: 'input', about: 'Bootstrap to look at' },
    'blob-dir': {
      short: 'D',
      about: 'Directory of bootstraps to look at: its files without an extension',
    },
    target: { short: 'T', file: 'input', about: 'Bootstrap to compare with the others' },
    config: CONFIG,
    digester: {
      values: ['blake3', 'sha256'],
      default: 'blake3',
      about: 'Digest by which chunks must be named to count as shared',
    },
    'output-json': OUTPUT_JSON,
  },
} as const satisfies CommandRow;

const UNPACK = {
  about: 'Turn a bootstrap and its blobs back into a tar',
  positional: BOOTSTRAP_ARGUMENT,
  options: {
    bootstrap: BOOTSTRAP_OPTION,
    blob: {
      short: 'b',
      file: 'input',
      conflicts: ['blob-dir', 'backend-type'],
      about: 'The one blob, whatever its id',
    },
    'blob-dir': { short: 'D', conflicts: ['backend-type'], about: 'Directory with the blobs' },
    ...BACKEND,
    output: { file: 'output', required: true, about: 'File or FIFO for the tar' },
  },
} as const satisfies CommandRow;

/** By the words that call them. */
export const READING = {
  check: CHECK,
  inspect: INSPECT,
  stat: STAT,
  unpack: UNPACK,
};
