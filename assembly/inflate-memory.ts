/**
 * Where the inflater's tables and buffers lie, and the format of table entries.
 *
 * The memory has a fixed size: an inflater never holds more than what is laid out here.
 */

export const LITERAL_TABLE: usize = 0x10000; // u32[4096]: at most 2342 are used
export const DISTANCE_TABLE: usize = 0x14000; // u32[1024]: at most 594 are used
export const PRECODE_TABLE: usize = 0x15000; // u32[128]
export const LENGTHS: usize = 0x15400; // u8[320]: code lengths as a block's header gives them
export const LONGEST: usize = 0x15800; // u8[2048]: length of the longest code, by its first bits
export const COUNTS: usize = 0x16000; // u32[16]: number of codes of each length
export const NEXT_CODES: usize = 0x16040; // u32[16]: next code to give out, by length
export const LENGTH_BASES: usize = 0x16400; // u32[32]: entries for symbols 257 and up
export const DISTANCE_BASES: usize = 0x16480; // u32[32]

/** Input: a bit more than 256 KiB, since whole words are read near its end. */
export const INPUT: usize = 0x20000;
export const INPUT_SIZE: usize = 0x40000;

/** Output: the last 32 KiB of earlier output, then new output, then room for copies in words. */
export const WINDOW: usize = 0x70000;
export const WINDOW_SIZE: usize = 0x8000;
export const OUTPUT: usize = WINDOW + WINDOW_SIZE;
export const OUTPUT_SIZE: usize = 0x100000;

/** Bits that index a table directly; longer codes continue in a subtable. */
export const LITERAL_BITS: u32 = 11;
export const DISTANCE_BITS: u32 = 9;
export const PRECODE_BITS: u32 = 7;

/**
 * Entry of a table: bits 0-5 say how many bits of input it takes, for the code (in a subtable: what
 * is left of it) and the extra bits after it; bits 8-11 how many the code alone takes; bits 16-30
 * are the value: a literal, or the base of a length or distance, to which the extra bits are added.
 */
export const LITERAL: u32 = 0x8000_0000;
/** Not a literal, a length or a distance: one of the three below. */
export const SPECIAL: u32 = 0x8000;
/** Bits 0-5 are the bits of this table, 8-11 those of a subtable, 16-30 where that starts. */
export const SUBTABLE: u32 = 0x4000;
export const END_OF_BLOCK: u32 = 0x2000;
/** No code, or a code without a meaning. */
export const INVALID: u32 = SPECIAL | 0x1000;
