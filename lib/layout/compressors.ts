/**
 * The compressors of the format: their numbers and flags. What they do is in lib/compress/.
 *
 * `code` stands in blob tables, `superFlag` in superblocks, `tocFlag` in the table of contents of a
 * blob if sections can be compressed with it; `written` ones can be asked for.
 */
const ROWS = {
  none: { code: 0, superFlag: 0x1, flagName: 'COMPRESSION_NONE', tocFlag: 0x1, written: true },
  lz4_block: { code: 1, superFlag: 0x2, flagName: 'COMPRESSION_LZ4', tocFlag: 0x4, written: true },
  // of layers that an image refers to
  gzip: {
    code: 2,
    superFlag: 0x40,
    flagName: 'COMPRESSION_GZIP',
    tocFlag: undefined,
    written: false,
  },
  zstd: { code: 3, superFlag: 0x80, flagName: 'COMPRESSION_ZSTD', tocFlag: 0x2, written: true },
} as const;

export type Compressor = keyof typeof ROWS;

/** Those that blobs can be made with. */
export type WrittenCompressor = {
  [Name in Compressor]: (typeof ROWS)[Name]['written'] extends true ? Name : never;
}[Compressor];

export const COMPRESSOR_NAMES = Object.keys(ROWS) as readonly Compressor[]; // our own keys

export const WRITTEN_COMPRESSORS = COMPRESSOR_NAMES.filter(
  (name): name is WrittenCompressor => ROWS[name].written,
);

const columnOf = <T>(
  value: (row: (typeof ROWS)[Compressor]) => T,
): Readonly<Record<Compressor, T>> =>
  // a value for each name is what the type says
  Object.fromEntries(COMPRESSOR_NAMES.map(name => [name, value(ROWS[name])])) as Record<
    Compressor,
    T
  >;

/** Numbers in blob tables and headers. */
export const COMPRESSORS = columnOf(({ code }) => code);

/** Flags in superblocks. */
export const COMPRESSION_FLAGS = columnOf(({ superFlag }) => superFlag);

/** Flags in tables of contents; undefined if no section is ever compressed like that. */
export const TOC_COMPRESSION_FLAGS = columnOf(({ tocFlag }) => tocFlag);

/** Flags in superblocks by the names that are printed for them. */
export const COMPRESSION_FLAG_NAMES: Readonly<Record<string, number>> = Object.fromEntries(
  COMPRESSOR_NAMES.map(name => [ROWS[name].flagName, ROWS[name].superFlag]),
);

/** The compressor for which `table` has the value, if any. */
export const compressorWith = <T>(
  table: Readonly<Record<Compressor, T>>,
  value: T,
): Compressor | undefined => COMPRESSOR_NAMES.find(name => table[name] === value);
