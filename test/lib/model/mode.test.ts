import fs from 'node:fs';
import t from 'tap';
import { MODE_OF_TYPE, S_IFMT, typeOfMode } from '../../../lib/model/mode.js';

t.test('modes are those of the system', async t => {
  const { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK } = fs.constants;
  t.equal(S_IFMT, fs.constants.S_IFMT);
  t.strictSame(MODE_OF_TYPE, {
    ...{ file: S_IFREG, hardlink: S_IFREG, directory: S_IFDIR, symlink: S_IFLNK },
    ...{ char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO, socket: S_IFSOCK },
  });
});

t.test('a mode tells its type, whatever else is in it', async t => {
  for (const [type, mode] of Object.entries(MODE_OF_TYPE)) {
    const due = type === 'hardlink' ? 'file' : type;
    for (const more of [0, 0o644, 0o7777]) t.equal(typeOfMode(mode | more), due);
  }
  const known = new Set(Object.values(MODE_OF_TYPE));
  for (let mode = 0; mode <= 0xffff; mode += 0x1000) {
    t.equal(typeOfMode(mode | 0o755) !== undefined, known.has(mode), mode.toString(8));
  }
});
