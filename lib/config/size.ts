/** Sizes as options have them. */

/** Reads a whole number written in decimal or, after 0x, in hex; undefined for anything else. */
export const parseSize = (text: string): number | undefined => {
  if (!/^(?:[0-9]+|0x[0-9a-f]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
};

const UNITS: Readonly<Record<string, number>> = { k: 10, m: 20, g: 30, t: 40 };

/** The same, or a decimal number of KiB, MiB, GiB or TiB, whose `iB` may be left out. */
export const parseByteSize = (text: string): number | undefined => {
  const [, digits = '', unit = ''] = /^([0-9]+)\s*([kmgt])(?:i?b)?$/i.exec(text) ?? [];
  if (unit === '') return parseSize(text);
  const value = Number(digits) * 2 ** UNITS[unit.toLowerCase()]!;
  return Number.isSafeInteger(value) ? value : undefined;
};
