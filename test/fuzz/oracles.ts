/** What must hold besides that nothing breaks: judged by other code than the code under test. */

/** An input on which two ways to the same thing differ. */
export class Disagreement extends Error {}

export const agree = (holds: boolean, what: string): void => {
  if (!holds) throw new Disagreement(what);
};

/**
 * Decodes an LZ4 block by the words of its description
 * (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md); undefined if it is none that makes
 * exactly `size` bytes.
 */
export const lz4Model = (block: Buffer, size: number): Buffer | undefined => {
  const out: number[] = [];
  let at = 0;
  const length = (first: number): number | undefined => {
    let sum = first;
    if (first < 15) return sum;
    for (;;) {
      const more = block[at++];
      if (more === undefined) return undefined;
      sum += more;
      if (more < 255) return sum;
    }
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = length(token >> 4);
    if (literals === undefined || at + literals > block.length) return undefined;
    if (out.length + literals > size) return undefined;
    for (let i = 0; i < literals; i++) out.push(block[at++]!);
    if (at === block.length) return out.length === size ? Buffer.from(out) : undefined;
    if (at + 2 > block.length) return undefined;
    const distance = block[at]! | (block[at + 1]! << 8);
    at += 2;
    const extra = length(token & 15);
    if (extra === undefined || distance === 0 || distance > out.length) return undefined;
    if (out.length + extra + 4 > size) return undefined;
    for (let i = 0; i < extra + 4; i++) out.push(out[out.length - distance]!);
  }
  return undefined; // a block ends with literals
};
