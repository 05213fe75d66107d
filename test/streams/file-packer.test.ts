import t from 'tap';
import { prepareCompressors } from '../../lib/compress.js';
import { Pieces } from '../../lib/compressed-erofs.js';
import { Tree } from '../../lib/tree.js';
import type { ImagePart } from '../../streams/blob-reader.js';
import { filePacker } from '../../streams/file-packer.js';
import { Spool } from '../../streams/spool.js';
import { entryOf } from '../support/entries.js';
import { temporaryDirectory } from '../support/fs.js';
import { randomBytes, wordyBytes } from '../support/random.js';

const FILES = [
  { path: 'a', content: wordyBytes(200_000, 1) },
  { path: 'b', content: Buffer.alloc(0) },
  { path: 'c', content: randomBytes(70_000, 2) },
];

await prepareCompressors();

/** Content cut into chunks of that size, in batches of that many parts. */
const pack = async (chunkSize: number, batchSize: number, missing = 0) => {
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
  const pieces = new Pieces(0x10000);
  const spool = new Spool(temporaryDirectory(t));
  const packer = filePacker({ tree, packing: 'lz4', pieces, spool });
  await new Promise<void>((resolve, reject) => {
    packer.once('finish', resolve);
    packer.once('error', reject);
    for (let at = 0; at < parts.length; at += batchSize)
      packer.write(parts.slice(at, at + batchSize));
    packer.end();
  });
  const blocks: Buffer[] = [];
  for await (const bytes of spool.read()) blocks.push(bytes);
  await spool.close();
  return { pieces, tree, bytes: Buffer.concat(blocks) };
};

t.test('pieces do not depend on how the content arrives', async t => {
  const due = await pack(0x100000, 100);
  t.equal(due.bytes.length, due.pieces.blocks * 4096);
  const sources = ['a', 'b', 'c'].map(path => due.tree.source.get(due.tree.find(path)));
  const [words, empty, random] = sources.map(source => due.pieces.file(source));
  t.equal(empty, undefined);
  t.match(random, { blocks: 18, packed: false });
  t.equal(words!.packed, true);
  t.ok(words!.blocks < 30, `${words!.blocks} blocks`);
  const at = due.pieces.blkaddr(random!.piece) * 4096;
  t.ok(due.bytes.subarray(at, at + 70_000).equals(FILES[2]!.content));
  for (const [chunkSize, batchSize] of [
    [1000, 1],
    [4096, 7],
    [0x10000, 3],
    [0x10001, 2],
  ] as const) {
    t.ok((await pack(chunkSize, batchSize)).bytes.equals(due.bytes), `${chunkSize}`);
  }
});

t.test('a file that is too short', async t => {
  await t.rejects(pack(5000, 10, 1), {
    code: 'MISMATCH',
    at: { stage: 'file-packer', path: '/a' },
  });
});
