import fc from 'fast-check';
import t from 'tap';
import { readDirents } from '../../../../lib/bootstrap/v6/dirent-reader.js';
import { Dirent } from '../../../../lib/layout/rafs-v6.js';
import { failure } from '../../../support/images/golden.js';

const block = (names: readonly string[], size = 0): Buffer => {
  const heads = names.length * Dirent.size;
  const length = heads + names.join('').length;
  const bytes = Buffer.alloc(Math.max(size, length));
  let nameOffset = heads;
  for (const [i, name] of names.entries()) {
    Dirent.encodeInto(bytes, i * Dirent.size, { nid: i + 1, nameOffset, fileType: 1 });
    bytes.write(name, nameOffset, 'latin1');
    nameOffset += name.length;
  }
  return bytes;
};

const name = fc
  .string({
    unit: fc.nat(255).map(code => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 255,
  })
  .filter(text => !/[/\0]/.test(text));

t.test('reads back any names, with and without zeros behind them', t => {
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 9 }), fc.nat(64), (names, room) => {
      const bytes = block(names);
      const padded = Buffer.concat([Buffer.alloc(7, 0x55), bytes, Buffer.alloc(room)]);
      const read = [...readDirents(padded, 7, padded.length)];
      t.strictSame(
        read.map(entry => [entry.name, entry.nid]),
        names.map((text, i) => [text, i + 1]),
      );
    }),
  );
  t.end();
});

t.test('refuses blocks that make no sense', t => {
  const read = (alter: (bytes: Buffer) => unknown, names = ['.', '..', 'a']) => {
    const bytes = block(names);
    alter(bytes);
    return failure(() => [...readDirents(bytes, 0, bytes.length)]);
  };
  t.equal(
    read(() => undefined),
    undefined,
    'the block as it is',
  );
  const first = Dirent.offsets.nameOffset;
  const second = first + Dirent.size;
  for (const [what, error] of Object.entries({
    'no entries': read(bytes => bytes.writeUInt16LE(0, first)),
    'heads that are no whole ones': read(bytes => bytes.writeUInt16LE(13, first)),
    'names behind the end': read(bytes => bytes.writeUInt16LE(12 * 400, first)),
    'an empty name': read(bytes => bytes.writeUInt16LE(36, second)),
    'a name that ends before it starts': read(bytes => bytes.writeUInt16LE(2, second)),
    'a name that passes the end': read(bytes => bytes.writeUInt16LE(200, second)),
    'a slash': read(() => undefined, ['.', '..', 'a/b']),
    'a long name': read(() => undefined, ['.', '..', 'a'.repeat(256)]),
    'a NUL in the middle': read(() => undefined, ['.', 'a\0b', 'c']),
  })) {
    t.equal(error?.code, 'CORRUPT', what);
  }
  t.equal(failure(() => [...readDirents(Buffer.alloc(40), 0, 5)])?.code, 'CORRUPT', 'too short');
  t.end();
});
