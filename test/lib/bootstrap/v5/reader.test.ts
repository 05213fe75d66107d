import fc from 'fast-check';
import t from 'tap';
import type { Bootstrap } from '../../../../lib/bootstrap/bootstrap.js';
import { walk, type Visit } from '../../../../lib/bootstrap/walk.js';
import { prepareDigests } from '../../../../lib/crypto/digest.js';
import { RafsError } from '../../../../lib/errors.js';
import { parseBootstrap } from '../../../../lib/bootstrap/parse.js';
import { parseV5 } from '../../../../lib/bootstrap/v5/reader.js';
import { InodeV5 } from '../../../../lib/layout/rafs-v5.js';
import { verify } from '../../../../lib/bootstrap/verify.js';
import { blobInfo } from '../../../support/images/chunks.js';
import { entryOf } from '../../../support/images/entries.js';
import { altered, BOOTSTRAPS_V5, failure, golden } from '../../../support/images/golden.js';
import { randomEntries, walkOrder } from '../../../support/images/images.js';
import { imageOfV5, written, type ImageCaseV5 } from '../../../support/images/images-v5.js';

await prepareDigests();

const KINDS = 'tar-rafs.kinds.lz4_block.v5';

const visits = (bootstrap: Bootstrap): Map<string, Visit> =>
  new Map([...verify(bootstrap)].map(visit => [visit.path, visit]));

/** Where an image says something else than the layer that it was made of, if anywhere. */
const difference = (bootstrap: Bootstrap, made: ImageCaseV5): string | undefined => {
  const seen = visits(bootstrap);
  const all = [...walkOrder(made.model.root)];
  if (seen.size !== all.length) return `${seen.size} names, not ${all.length}`;
  const firstIds = new Map<unknown, number>();
  for (const [path, node] of all) {
    const visit = seen.get(path);
    if (!visit) return `no '${path}'`;
    const { inode } = visit;
    const { content } = node;
    if (inode.type !== node.type) return `type of '${path}'`;
    if ((inode.mode & 0o7777) !== node.mode) return `mode of '${path}'`;
    for (const key of ['uid', 'gid', 'mtime', 'mtimeNsec', 'rdev'] as const) {
      if (inode[key] !== node[key]) return `${key} of '${path}'`;
    }
    if (inode.hardlink !== made.linked.has(path)) return `flag of '${path}'`;
    const xattrs = bootstrap.xattrs(inode);
    if (xattrs.size !== content.xattrs.size) return `xattrs of '${path}'`;
    for (const [key, value] of content.xattrs) {
      if (!xattrs.get(key)?.equals(value)) return `${key} of '${path}'`;
    }
    if (node.type === 'symlink' && bootstrap.symlinkTarget(inode) !== content.target) {
      return `target of '${path}'`;
    }
    if (node.type !== 'file') continue;
    if (inode.size !== content.size) return `size of '${path}'`;
    const first = firstIds.get(content) ?? visit.id;
    firstIds.set(content, first);
    if (inode.id !== first) return `number of '${path}'`;
    const chunks = [...bootstrap.chunks(inode)].map(({ digest, blobIndex, index }) => [
      digest.toString('hex'),
      blobIndex,
      index,
    ]);
    const due = content.chunks.map(row => {
      const { digest, blobIndex, index } = made.placed[row as number]!;
      return [digest.toString('hex'), blobIndex, index];
    });
    if (JSON.stringify(chunks) !== JSON.stringify(due)) return `chunks of '${path}'`;
  }
  return undefined;
};

t.test('random layers are read as they were', async t => {
  fc.assert(
    fc.property(
      randomEntries(),
      fc.integer({ min: 1, max: 3 }),
      fc.infiniteStream(fc.option(fc.nat(30), { nil: undefined })),
      (entries, blobCount, repeats) => {
        const made = imageOfV5(entries, {
          blobCount,
          prefetch: ['/a', '/', '/lib'],
          repeats: () => repeats.next().value as number | undefined,
        });
        const bootstrap = parseBootstrap(written(made));
        t.equal(difference(bootstrap, made), undefined);
      },
    ),
    { numRuns: 200 },
  );
});

t.test('what nydus-image made', async t => {
  t.ok(BOOTSTRAPS_V5.length >= 2);
  for (const name of BOOTSTRAPS_V5) {
    const bootstrap = parseBootstrap(golden(name));
    const all = [...verify(bootstrap)];
    t.equal(bootstrap.version, 5);
    t.equal(all.filter(({ repeated }) => !repeated).length, bootstrap.inodeCount, name);
  }
  const bootstrap = parseV5(golden(KINDS));
  const seen = visits(bootstrap);
  const inodeOf = (path: string) => seen.get(path)!.inode;
  t.equal(bootstrap.xattrs(inodeOf('x/caps')).get('security.capability')?.length, 20);
  t.equal(bootstrap.symlinkTarget(inodeOf('bin')), 'usr/bin');
  t.equal(inodeOf('dev/null').rdev, 0x103, 'char 1:3');
  t.equal(inodeOf('').nlink, 2 + [...seen.values()].filter(isTopDirectory).length);
  const linked = [...seen.values()].filter(({ inode }) => inode.type === 'file' && inode.nlink > 1);
  t.ok(linked.length > 1);
  for (const { inode } of linked) t.equal(inode.hardlink, true);
});

const isTopDirectory = ({ path, inode }: Visit): boolean =>
  path !== '' && !path.includes('/') && inode.type === 'directory';

t.test('altered anywhere: a result or a RafsError', async t => {
  for (const name of BOOTSTRAPS_V5) {
    let failed = 0;
    for (const image of altered(golden(name), 3000, name.length)) {
      const error = failure(() => {
        for (const visit of verify(parseBootstrap(image))) visit.path.at(0);
      });
      if (error instanceof RafsError) failed += 1;
    }
    t.ok(failed > 1000, `${name}: ${failed} of 3000 are refused`);
  }
});

t.test('cut at any place', async t => {
  const image = golden('merge.v5');
  for (let size = 8; size < image.length; size += 8) {
    t.ok(
      failure(() => [...verify(parseBootstrap(image.subarray(0, size)))]),
      `${size} bytes`,
    );
  }
});

/** An image of one file with two chunks and another name, a directory and a symlink. */
const sample = (): { image: Buffer; at: (index: number) => number } => {
  const made = imageOfV5([
    entryOf('directory', 'd'),
    entryOf('file', 'f', { size: 5000 }),
    entryOf('hardlink', 'd/g', { target: 'f' }),
    entryOf('symlink', 's', { target: 'target' }),
    entryOf('char', 'c', { rdev: 7 }),
  ]);
  const image = written(made);
  return { image, at: index => image.readUInt32LE(8192 + 4 * (index - 1)) * 8 };
};
const { childIndex, childCount, digest, flags, ino, mode, nlink, parent, size } = InodeV5.offsets;
const { nameSize, symlinkSize } = InodeV5.offsets;
// of the sample: / has 2 to 5, which are c, d, f and s; d has 6, which is g
const NAME = InodeV5.size;

t.test('the sample is good', async t => {
  const { image } = sample();
  const bootstrap = parseV5(image);
  t.same(
    [...verify(bootstrap)].map(({ path, id, inode, repeated }) => [path, id, inode.id, repeated]),
    [
      ['', 1, 1, false],
      ['c', 2, 2, false],
      ['d', 3, 3, false],
      ['d/g', 6, 4, false],
      ['f', 4, 4, true],
      ['s', 5, 5, false],
    ],
  );
  t.equal(bootstrap.inodeCount, 5);
  const [first, second] = bootstrap.chunks(bootstrap.inode(6));
  t.match(first, { fileOffset: 0, uncompressedSize: 4096, index: 0, crc32: 0 });
  t.match(second, { fileOffset: 4096, uncompressedSize: 904, index: 1, crc32: 1 });
  t.same([...bootstrap.chunks(bootstrap.inode(3))], [], 'a directory has none');
  t.equal([...bootstrap.chunks({ ...bootstrap.inode(4) })].length, 2);
});

t.test('what makes no sense', async t => {
  type Change = (image: Buffer, at: (index: number) => number) => void;
  const wrong = (what: string, change: Change, message: RegExp, code = 'CORRUPT'): void => {
    const { image, at } = sample();
    change(image, at);
    t.throws(() => [...verify(parseV5(image))], { name: 'RafsError', code, message }, what);
  };
  const u32 =
    (index: number, field: number, value: number): Change =>
    (image, at) =>
      void image.writeUInt32LE(value, at(index) + field);
  const u16 =
    (index: number, field: number, value: number): Change =>
    (image, at) =>
      void image.writeUInt16LE(value, at(index) + field);
  const chunkAt = (at: (index: number) => number, index: number): number => at(index) + NAME + 8;

  wrong('mode', u32(2, mode, 0), /mode 0x0/);
  wrong('the root is a file', u32(1, mode, 0o100644), /chunks|root/);
  wrong('no links', u32(2, nlink, 0), /no links/);
  wrong('number 0', u32(2, ino, 0), /number 0/);
  wrong('the number of another', u32(2, ino, 1), /number 1/);
  wrong('a higher number', u32(2, ino, 3), /number 3/);
  wrong('one of two names has one link', u32(6, nlink, 1), /number 4/);
  wrong('another name, other links', u32(6, nlink, 3), /not names of the same file/);
  wrong('another name of a directory', u32(6, ino, 3), /not names of the same file/);
  wrong('no parent', u32(2, parent, 0), /expected parent 1, got 0/);
  wrong('a parent of the root', u32(1, parent, 1), /invalid parent 1/);
  wrong('a parent that comes later', u32(2, parent, 5), /expected parent 1, got 5/);
  wrong('another parent', u32(6, parent, 1), /expected parent 3, got 1/);
  wrong('no name', u16(2, nameSize, 0), /name/);
  wrong('a long name', u16(2, nameSize, 300), /name/);
  wrong('a name into the next record', u16(2, nameSize, 200), /name/);
  wrong('names out of order', (image, at) => void image.write('e', at(2) + NAME), /order/);
  wrong('a name twice', (image, at) => void image.write('d', at(2) + NAME), /order/);
  wrong('a slash', (image, at) => void image.write('/', at(2) + NAME), /invalid file name/);
  wrong('a dot', (image, at) => void image.write('.', at(2) + NAME), /invalid file name/);
  wrong('a NUL', (image, at) => void image.write('\0', at(2) + NAME), /invalid file name/);
  wrong('children before their directory', u32(3, childIndex, 2), /children 2 to 2/);
  wrong('children of another', u32(3, childIndex, 4), /expected parent 3, got 1/);
  wrong('children past the end', u32(3, childCount, 2), /children 6 to 7/);
  wrong('all children that there can be', u32(3, childCount, 0xffffffff), /children/);
  wrong('a child less', u32(1, childCount, 3), /digest/, 'MISMATCH');
  wrong('no target', u16(5, symlinkSize, 0), /target of 0 bytes/);
  wrong('a target of a device', u16(2, symlinkSize, 4), /target of 4 bytes/);
  wrong('a target past the record', u16(5, symlinkSize, 60000), /past the end of its record/);
  wrong('a target of another size', u32(5, size, 5), /symlink of 5 bytes/);
  wrong('another target', (image, at) => void image.write('T', at(5) + NAME + 8), /d/, 'MISMATCH');
  wrong('a target with NUL', (image, at) => void image.write('\0', at(5) + NAME + 8), /NUL/);
  wrong('xattrs that are not there', u32(2, flags, 4), /past the end of its record/);
  wrong('holes', u32(4, flags, 8), /holes/, 'UNSUPPORTED');
  wrong('too few chunks', u32(4, childCount, 1), /expected 2 chunks, got 1/);
  wrong('chunks for another size', u32(4, size, 9000), /expected 3 chunks, got 2/);
  wrong(
    'chunks into the next record',
    u32(6, childCount, 0xffffffff),
    /past the end of its record/,
  );
  wrong('a digest that the root covers', u32(2, digest, 1), /expected digest/, 'MISMATCH');
  wrong('digest of the root', u32(1, digest, 1), /expected digest .*, got 01000000/, 'MISMATCH');
  for (const index of [4, 6]) {
    const chunk =
      (field: number, value: number): Change =>
      (image, at) =>
        void image.writeUInt32LE(value, chunkAt(at, index) + field);
    wrong('a chunk id', chunk(0, 1), /digest/, 'MISMATCH');
    wrong('a blob that is not there', chunk(32, 1), /expected a blob index below 1, got 1/);
    wrong('unknown flags', chunk(36, 0x20), /chunk flags 0x20/);
    wrong('a batch', chunk(36, 0x8), /chunk flags 0x8/);
    wrong('a hole', chunk(36, 0x2), /hole/, 'UNSUPPORTED');
    wrong('an index past the count', chunk(72, 2), /expected a chunk index below 2, got 2/);
    wrong('a size', chunk(44, 4095), /expected a chunk of 4096 bytes, got 4095/);
    wrong('more than it covers', chunk(44, 4097), /expected a chunk of 4096 bytes, got 4097/);
    wrong('another place', chunk(64, 1), /expected a chunk at 0 of its file, got 1/);
    wrong('past the end of the blob', chunk(48, 0x10000), /ends at/);
    wrong('past the end of the plain blob', chunk(56, 0x10000), /ends at/);
    wrong('stored in fewer bytes', chunk(40, 100), /not compressed: expected 4096 bytes, got 100/);
  }
});

t.test('no record is read twice', async t => {
  const { image } = sample();
  image.copy(image, 8192 + 4, 8192 + 8, 8192 + 12);
  t.throws(() => [...walk(parseV5(image))], { code: 'CORRUPT' });
  const bootstrap = parseV5(image);
  t.throws(() => bootstrap.inode(2), { code: 'CORRUPT', message: /share a record/ });
  for (const index of [0, 7, -1, 0.5, NaN]) {
    t.throws(() => bootstrap.inode(index), { code: 'CORRUPT', message: /no inode/ });
  }
});

t.test('records in any order', async t => {
  // the records of old images are in the order of their indexes
  const { image, at } = sample();
  const ends = [1, 2, 3, 4, 5, 6].map(at).sort((a, b) => a - b);
  const records = [1, 2, 3, 4, 5, 6].map(index => {
    const from = at(index);
    return image.subarray(from, ends[ends.indexOf(from) + 1] ?? image.length);
  });
  let end = ends[0]!;
  const old = Buffer.concat([image.subarray(0, end), ...records]);
  records.forEach((record, i) => {
    old.writeUInt32LE(end / 8, 8192 + 4 * i);
    end += record.length;
  });
  t.notOk(old.equals(image));
  t.same(
    [...verify(parseV5(old))].map(({ path }) => path),
    [...verify(parseV5(image))].map(({ path }) => path),
  );
});

t.test('the file of a chunk dictionary has chunks of any size', async t => {
  const made = imageOfV5([entryOf('file', 'f', { size: 5000 })]);
  made.blobs = [blobInfo({ chunkCount: 2, compressedSize: 9000, uncompressedSize: 9000 })];
  const image = written(made);
  const chunk = image.length - 160;
  image.writeUInt32LE(904, chunk + 44);
  image.writeUInt32LE(904, chunk + 40);
  image.writeUInt32LE(4096, chunk + 80 + 44);
  image.writeUInt32LE(4096, chunk + 80 + 40);
  image.writeUInt32LE(904, chunk + 80 + 64);
  t.throws(() => [...verify(parseV5(image))], {
    code: 'CORRUPT',
    message: /expected a chunk of 4096 bytes, got 904/,
  });
  image.writeUInt32LE(0x40000200, image.readUInt32LE(72) + 4);
  const bootstrap = parseV5(image);
  t.equal([...verify(bootstrap)].length, 2);
  t.same(
    [...bootstrap.chunks(bootstrap.inode(2))].map(({ fileOffset }) => fileOffset),
    [0, 904],
  );
  image.writeUInt32LE(5001, image.readUInt32LE(8192 + 4) * 8 + size);
  t.throws(() => [...verify(parseV5(image))], {
    code: 'CORRUPT',
    message: /expected chunks of 5001 bytes, got 5000/,
  });
});

t.test('blobs that are not counted hold any chunk', async t => {
  const { image } = sample();
  image.writeUInt32LE(0, 68);
  image.writeUInt32LE(0, 72);
  t.equal([...verify(parseV5(image))].length, 6);
});
