/** What every image may hold at most, for those who write images and those who read them. */

/** Bytes of a name: NAME_MAX of Linux, as of every file system that could mount the image. */
export const MAX_NAME = 255;

/**
 * Bytes of a path without a leading slash, and of the target of a symlink: PATH_MAX of Linux, less
 * the NUL. Nobody could open a longer one, and no container runtime unpacks it. It also bounds the
 * depth of a tree.
 */
export const MAX_PATH = 4095;

/** Bytes of a sparse file: /var/log/lastlog with an entry for the largest user id has 1.14 TiB. */
export const MAX_SPARSE = 2 ** 41;

/**
 * Chunks of a layer that lie in holes of its files: a header is enough to ask for any number, and
 * each takes 8 to 80 bytes of the image. With chunks of 1 MiB it is 2 TiB of holes.
 */
export const MAX_HOLE_CHUNKS = 2 ** 21;

/**
 * Directories that a layer may imply, beside a number for each of its entries: names of a few
 * kilobytes, compressed, would otherwise ask for millions of inodes.
 */
export const FREE_IMPLIED = 0x10000;
export const IMPLIED_PER_ENTRY = 16;

/** Symlinks on the way to one entry, as many as containerd follows. */
export const MAX_LINKS = 255;

/**
 * Names that symlinks may add to the ways of a layer's entries, beside a number for each entry:
 * symlinks to deep directories, one through the other, would otherwise cost hours.
 */
export const FREE_DETOURS = 0x100000;
export const DETOURS_PER_ENTRY = 256;
