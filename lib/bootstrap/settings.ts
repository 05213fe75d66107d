/** Which images can be combined: the settings that must be equal in all of them. */
import { hasFlag } from '../layout/struct.js';
import { RAFS_VERSIONS, type RafsVersion } from '../model/version.js';
import type { Bootstrap } from './bootstrap.js';
import type { Digester } from '../crypto/digest.js';
import { SuperFlag } from '../layout/rafs.js';

/** The settings of an image or a build. */
export interface Settings {
  chunkSize: number;
  explicitUidGid: boolean;
  version: RafsVersion;
  digester: Digester;
  tarfs: boolean;
}

export const settingsOf = (bootstrap: Bootstrap): Settings => ({
  chunkSize: bootstrap.chunkSize,
  explicitUidGid: hasExplicitOwners(bootstrap.flags),
  version: bootstrap.version,
  digester: bootstrap.digester,
  tarfs: bootstrap.tarfs,
});

export const hasExplicitOwners = (flags: number): boolean =>
  hasFlag(flags, SuperFlag.EXPLICIT_UID_GID);

const NAMES: Readonly<Record<Digester, string>> = { blake3: 'Blake3', sha256: 'Sha256' };

/**
 * Why an image does not fit the settings `due`, in the words of nydus-image; undefined if it does.
 * Compressors may differ, and so may digest algorithms if inodes have no digests.
 */
export const inconsistency = (due: Settings, bootstrap: Bootstrap): string | undefined => {
  const got = settingsOf(bootstrap);
  const because = (why: string): string => `Inconsistent RAFS Filesystem: ${why}`;
  if (got.chunkSize !== due.chunkSize) {
    return because(
      `Inconsistent configuration of chunk_size: ${due.chunkSize} vs ${got.chunkSize}`,
    );
  }
  if (got.explicitUidGid !== due.explicitUidGid) {
    return because(
      `Using inconsistent explicit_uidgid setting ${due.explicitUidGid}, ` +
        `target explicit_uidgid setting ${got.explicitUidGid}`,
    );
  }
  if (got.version !== due.version) {
    return because(
      `Using inconsistent RAFS version V${due.version}, target RAFS version Ok(V${got.version})`,
    );
  }
  if (RAFS_VERSIONS[due.version].hasInodeDigests && got.digester !== due.digester) {
    return because(
      'RAFS v5 can not support different digest algorithm due to inode digest, ' +
        `${NAMES[due.digester]} vs ${NAMES[got.digester]}`,
    );
  }
  if (got.tarfs !== due.tarfs) return because('Using inconsistent RAFS TARFS mode');
  return undefined;
};
