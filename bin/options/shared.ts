/** Options that several commands have. */
import { BACKEND_TYPES } from '../../lib/config/backends.js';
import type { NumberRule } from './option-row.js';

export const CONFIG = {
  short: 'C',
  file: 'input',
  about: 'File with the storage configuration',
} as const;
export const CHUNK_DICT = {
  file: 'input',
  about: 'Bootstrap whose chunks need not be stored again, as PATH or bootstrap=PATH',
} as const;
export const PREFETCH_POLICY = {
  values: ['fs', 'blob', 'none'],
  default: 'none',
  about:
    'How files are marked for prefetching: in the bootstrap, in the blob, or not at all. With fs ' +
    'and blob their absolute paths are read from stdin, one a line',
} as const;
export const OUTPUT_JSON = {
  short: 'J',
  file: 'output',
  about: 'Write the result as JSON to this file',
} as const;

export const BACKEND = {
  'backend-type': {
    values: BACKEND_TYPES,
    about: 'Storage that the blobs are read from',
  },
  'backend-config': {
    conflicts: ['backend-config-file'],
    about: 'Configuration of that storage, as JSON',
  },
  'backend-config-file': {
    file: 'input',
    about: 'File with the configuration of that storage, as JSON',
  },
} as const;

export const BOOTSTRAP_ARGUMENT = {
  name: 'BOOTSTRAP',
  file: 'input',
  about: 'Bootstrap, or a blob with a bootstrap in it',
  requiredUnless: ['bootstrap'],
  conflicts: ['bootstrap'],
} as const;
export const BOOTSTRAP_OPTION = {
  short: 'B',
  file: 'input',
  about: 'The same as BOOTSTRAP, as an option',
} as const;

export const LOOKUP = {
  'blob-dir': { short: 'D', conflicts: ['config'], about: 'Directory with the blobs' },
  config: CONFIG,
} as const;

export const wholeNumber = (low: number, high: number): NumberRule => ({
  low,
  high,
  malformed: () => `not a whole number`,
  outside: () => `not in ${low}..${high}`,
});
