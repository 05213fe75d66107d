/** The flags of a superblock in words. */
import { SUPER_FLAGS } from '../layout/rafs.js';
import { hasFlag } from '../layout/struct.js';
import { RAFS_VERSIONS } from '../model/version.js';
import type { Bootstrap } from './bootstrap.js';

/** Names of the flags in their order, as log records and `stats` have them. */
export const flagNames = (flags: number): string =>
  Object.entries(SUPER_FLAGS)
    .sort(([, a], [, b]) => a - b)
    .filter(([, bit]) => hasFlag(flags, bit))
    .map(([name]) => (name === 'ENCRYPTION_AES_128_XTS' ? 'ENCRYPTION_ASE_128_XTS' : name))
    .join(' | '); // a client expects the misspelled name

/** What is logged about an image when it is loaded. */
export const loadedText = ({ flags, version }: Bootstrap): string =>
  `${RAFS_VERSIONS[version].featuresTitle}: ${flagNames(flags)}`;
