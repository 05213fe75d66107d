import t from 'tap';
import { PclusterMap } from '../../../lib/erofs/pclusters.js';
import { Tree } from '../../../lib/tree/tree.js';
import { entryOf } from '../../support/images/entries.js';

const PIECE = 0x10000;

t.test('pieces lie side by side, each as it takes fewer blocks', async t => {
  const tree = new Tree();
  const rows = ['a', 'b', 'c', 'd'].map(path => tree.insert(entryOf('file', path)));
  const xattrs = new Map([['user.x', Buffer.alloc(200)]]);
  const heavy = tree.insert(entryOf('file', 'e', { xattrs }));
  const pieces = new PclusterMap(tree, 'lz4');
  t.equal(pieces.pieceSize, PIECE);
  const [a, b, c, d] = rows as [number, number, number, number]; // as many
  t.same(pieces.add(a, PIECE, 0), { blocks: 16, packed: false, tailSize: 0 });
  t.same(pieces.add(a, PIECE, 8193), { blocks: 3, packed: true, tailSize: 0 });
  // in a file that has a compressed piece nothing goes to the inode
  t.same(pieces.add(a, 100, 0), { blocks: 1, packed: false, tailSize: 0 });
  t.same(pieces.add(b, 8192, 4097), { blocks: 2, packed: false, tailSize: 0 }, 'no fewer');
  t.same(pieces.add(c, 100, 0), { blocks: 0, packed: false, tailSize: 100 });
  t.same(pieces.add(d, PIECE, 0), { blocks: 16, packed: false, tailSize: 0 });
  t.same(pieces.add(d, 4096 + 4032, 0), { blocks: 1, packed: false, tailSize: 4032 });
  t.same(pieces.add(heavy, 3900, 0), { blocks: 1, packed: false, tailSize: 0 }, 'no room');
  t.equal(pieces.blocks, 16 + 3 + 1 + 2 + 16 + 1 + 1);
  t.same(
    [a, b, c, d, heavy].map(row => [
      pieces.isPacked(row),
      pieces.fileBlocks(row),
      pieces.tailSize(row),
    ]),
    [
      [true, 20, 0],
      [false, 2, 0],
      [false, 0, 100],
      [false, 17, 4032],
      [false, 1, 0],
    ],
  );
  const first = pieces.firstPiece(a);
  t.same(
    [0, 1, 2].map(i => [pieces.blkaddr(first + i), pieces.packedBlocks(first + i)]),
    [
      [0, 0],
      [16, 3],
      [19, 0],
    ],
  );
  t.equal(pieces.blkaddr(pieces.firstPiece(b)), 20);
  t.equal(pieces.blkaddr(pieces.firstPiece(d)), 22);
  t.equal(pieces.inodeSize(a), 64);
  t.ok(pieces.inodeSize(heavy) > 264);
  pieces.blocks = 0xffff_ffff - 15;
  t.throws(() => pieces.add(d, PIECE, 0), { code: 'LIMIT' });
});
