/** The file with the rules of compaction, which early versions of nydus-image read. */
import { RafsError } from '../errors.js';

/** What the file says; every field may be missing. */
export interface CompactConfig {
  minUsedRatio?: number;
  compactBlobSize?: number;
  maxCompactSize?: number;
  layersToCompact?: number;
  blobsDir?: string;
}

const MOST_RATIO = 99; // percent
const MOST_SIZE = Number.MAX_SAFE_INTEGER;

const NUMBERS = {
  min_used_ratio: ['minUsedRatio', MOST_RATIO],
  compact_blob_size: ['compactBlobSize', MOST_SIZE],
  max_compact_size: ['maxCompactSize', MOST_SIZE],
  layers_to_compact: ['layersToCompact', MOST_SIZE],
} as const satisfies Readonly<Record<string, readonly [keyof CompactConfig, number]>>;

const FIELDS = [...Object.keys(NUMBERS), 'blobs_dir'];

/** Fails with UNSUPPORTED if a field is unknown, or no whole number where one is due. */
export const parseCompactConfig = (document: unknown): CompactConfig => {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw refusal('the rules of compaction are not an object');
  }
  const config: CompactConfig = {};
  for (const [field, value] of Object.entries(document)) {
    if (field === 'blobs_dir') {
      if (typeof value !== 'string') throw refusal(`${field} is not a string`);
      if (value !== '') config.blobsDir = value;
    } else if (Object.hasOwn(NUMBERS, field)) {
      const [name, most] = NUMBERS[field as keyof typeof NUMBERS]; // by the condition
      if (!(Number.isSafeInteger(value) && value >= 0 && value <= most)) {
        throw refusal(`${field} is not a whole number from 0 to ${most}`);
      }
      config[name] = value as number; // by the check
    } else {
      throw refusal(`unknown field '${field}' in the rules of compaction: there is ${LIST}`);
    }
  }
  return config;
};

const LIST = FIELDS.join(', ');

const refusal = (message: string): RafsError => new RafsError('UNSUPPORTED', message);
