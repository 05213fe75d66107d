/** A tar with files at every border of blocks and pieces, of all kinds of content. */
import { randomBytes, wordyBytes } from '../random.js';
import { tarOf } from './tar.js';

const SIZES = [
  ...[0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 12_288, 12_289],
  ...[0xffff, 0x10000, 0x10001, 0x11000, 0x11001, 0x1ffff, 0x20000, 0x20001, 0x21001],
  ...[300_000, 1_048_576, 1_500_001],
];

/** Half a piece of each, so that pieces of one file go both ways. */
const mixed = (size: number): Buffer => {
  const bytes = wordyBytes(size, 5);
  for (let at = 0; at < size; at += 0x40000) randomBytes(0x20000, at).copy(bytes, at);
  return bytes;
};

export const packingFiles = (): Map<string, Buffer> => {
  const files = new Map<string, Buffer>();
  for (const size of SIZES) {
    files.set(`words/${size}`, wordyBytes(size, size));
    files.set(`random/${size}`, randomBytes(size, size));
    files.set(`zeros/${size}`, Buffer.alloc(size));
    files.set(`mixed/${size}`, mixed(size));
  }
  return files;
};

export const packingTar = (files: ReadonlyMap<string, Buffer>): Buffer =>
  tarOf([
    { name: './', type: '5', mode: 0o755 },
    ...['words', 'random', 'zeros', 'mixed'].map(name => ({
      name: `./${name}/`,
      type: '5',
      mode: 0o755,
    })),
    ...[...files].map(([name, content], i) => ({
      name: `./${name}`,
      content,
      // behind an odd number of xattrs the map is aligned
      ...(i % 3 === 0
        ? { pax: [['SCHILY.xattr.user.a', 'x'.repeat(i % 7)]] as [string, string][] }
        : {}),
    })),
  ]);
