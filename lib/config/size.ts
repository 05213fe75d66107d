/** Reads a whole number written in decimal or, after 0x, in hex; undefined for anything else. */

export const parseSize = (text: string): number | undefined => {
  if (!/^(?:[0-9]+|0x[0-9a-f]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
};
