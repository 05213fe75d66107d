/** Numbers and bytes that look random and are the same in every run. */

/** Whole numbers from 0 to below `limit`, from a seed (xorshift32). */
export const numbers = (seed: number): ((limit: number) => number) => {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  return limit => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
};

/** Bytes that no compressor makes shorter. */
export const randomBytes = (size: number, seed: number): Buffer => {
  const next = numbers(seed);
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = next(256);
  return bytes;
};

/** Words from a small vocabulary: text that compresses to about a third. */
export const wordyBytes = (size: number, seed: number): Buffer => {
  const next = numbers(seed);
  const words = Array.from({ length: 400 }, () =>
    Array.from({ length: 2 + next(9) }, () => String.fromCharCode(97 + next(26))).join(''),
  );
  const text: string[] = [];
  for (let length = 0; length < size;) {
    const word = `${words[next(words.length)]!}${next(12) === 0 ? '\n' : ' '}`;
    text.push(word);
    length += word.length;
  }
  return Buffer.from(text.join('').slice(0, size), 'latin1');
};
