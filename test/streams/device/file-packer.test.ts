import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { PclusterMap } from '../../../lib/erofs/pclusters.js';
import { Tree } from '../../../lib/tree/tree.js';
import type { ImagePart } from '../../../streams/read/blob-reader.js';
import { filePacker } from '../../../streams/device/file-packer.js';
import { Spool } from '../../../streams/io/spool.js';
import { entryOf } from '../../support/images/entries.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

const FILES = [
  { path: 'a', content: wordyBytes(200_000, 1) },
  { path: 'b', content: Buffer.alloc(0) },
  { path: 'c', content: randomBytes(70_000, 2) },
  { path: 'd', content: wordyBytes(100, 3) },
  // the block is stored whole where the inode's has no room for it
  { path: 'e', content: wordyBytes(4090, 4) },
  { path: 'f', content: wordyBytes(3_000_000, 5) },
];

await prepareCompressors();

/** Content cut into chunks of that size, in batches of that many parts. */
const pack = async (chunkSize: number, batchSize: number, { missing = 0, workers = 0 } = {}) => {
  const tree = new Tree();
  const root = entryOf('directory', '');
  const parts: ImagePart[] = [{ kind: 'entry', entry: root }, { kind: 'end' }];
  for (const { path, content } of FILES) {
    const entry = entryOf('file', path, { size: content.length });
    tree.insert(entry);
    parts.push({ kind: 'entry', entry });
    for (let at = 0; at < content.length - missing; at += chunkSize) {
      const bytes = content.subarray(at, Math.min(at + chunkSize, content.length - missing));
      // only the bytes of a chunk are looked at
      parts.push({ kind: 'chunk', bytes } as ImagePart);
    }
    parts.push({ kind: 'end' });
  }
  const pieces = new PclusterMap(tree, 'lz4');
  const blocks = new Spool(temporaryDirectory(t));
  const tails = new Spool(temporaryDirectory(t));
  const packer = filePacker({ tree, packing: 'lz4', pieces, blocks, tails, workers });
  await new Promise<void>((resolve, reject) => {
    packer.once('finish', resolve);
    packer.once('error', reject);
    for (let at = 0; at < parts.length; at += batchSize)
      packer.write(parts.slice(at, at + batchSize));
    packer.end();
  });
  const all = async (spool: Spool): Promise<Buffer> => {
    const made: Buffer[] = [];
    for await (const bytes of spool.read()) made.push(bytes);
    await spool.close();
    return Buffer.concat(made);
  };
  return { pieces, tree, blocks: await all(blocks), tails: await all(tails) };
};

t.test('pieces do not depend on how the content arrives, or on who compresses them', async t => {
  const due = await pack(0x100000, 100);
  const { pieces, tree, blocks, tails } = due;
  t.equal(blocks.length, pieces.blocks * 4096);
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(path => tree.find(path)) as [
    ...[number, number, number, number, number], // as many
  ];
  t.equal(pieces.isPacked(a), true);
  t.ok(pieces.fileBlocks(a) < 30, `${pieces.fileBlocks(a)} blocks`);
  t.equal(pieces.fileBlocks(b), 0);
  t.equal(pieces.isPacked(c), false);
  t.equal(pieces.fileBlocks(c), 17);
  t.equal(pieces.tailSize(c), 70_000 - 17 * 4096);
  const at = pieces.blkaddr(pieces.firstPiece(c)) * 4096;
  t.ok(blocks.subarray(at, at + 17 * 4096).equals(FILES[2]!.content.subarray(0, 17 * 4096)));
  t.equal(pieces.fileBlocks(d), 0);
  t.equal(pieces.fileBlocks(e), 1);
  t.equal(pieces.tailSize(e), 0);
  const ends = [FILES[2]!.content.subarray(17 * 4096), FILES[3]!.content];
  t.ok(tails.equals(Buffer.concat(ends)), 'in the order of the files');
  for (const [chunkSize, batchSize, workers] of [
    [1000, 1, 0],
    [4096, 7, 1],
    [0x10000, 3, 2],
    [0x10001, 2, 3],
  ] as const) {
    const other = await pack(chunkSize, batchSize, { workers });
    t.ok(other.blocks.equals(blocks), `${chunkSize}, ${workers} threads`);
    t.ok(other.tails.equals(tails));
  }
});

t.test('a file that is too short', async t => {
  await t.rejects(pack(5000, 10, { missing: 1 }), {
    code: 'MISMATCH',
    at: { stage: 'file-packer', path: '/a' },
  });
});
