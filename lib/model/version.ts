/** The versions of RAFS, and what one has that another lacks; lib/bootstrap/versions.ts reads and writes them. */
export const RAFS_VERSIONS = {
  5: {
    /** chunks begin at multiples of 4 KiB in every blob, whether or not it is asked for */
    alignsChunks: false,
    /** blobs describe their chunks themselves, in a CI table */
    hasChunkInfo: false,
    /** blobs can have a table of contents */
    hasToc: false,
    canEncrypt: false,
    /** the bootstrap is a file system image that the kernel mounts */
    isBlockImage: false,
    /** inodes have digests, so all blobs of an image need the same digest algorithm */
    hasInodeDigests: true,
    /** the image names one compressor for all its blobs */
    hasOneCompressor: true,
    featuresTitle: 'RAFS v5 super block features',
  },
  6: {
    alignsChunks: true,
    hasChunkInfo: true,
    hasToc: true,
    canEncrypt: true,
    isBlockImage: true,
    hasInodeDigests: false,
    hasOneCompressor: false,
    featuresTitle: 'RAFS features',
  },
} as const;

export type RafsVersion = keyof typeof RAFS_VERSIONS;

/** The versions as options name them. */
export const VERSION_NAMES = ['5', '6'] as const satisfies readonly `${RafsVersion}`[];

const BY_NAME: Readonly<Record<`${RafsVersion}`, RafsVersion>> = { 5: 5, 6: 6 };

/** The version that an option names. */
export const versionOf = (name: `${RafsVersion}`): RafsVersion => BY_NAME[name];
