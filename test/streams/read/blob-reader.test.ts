import fs from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import { BufferPool } from '../../../lib/memory/buffer-pool.js';
import { crc32c } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { sectionsOfTail, tailSize, unpackSection } from '../../../lib/blob/toc.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import {
  blobReader,
  contentPool,
  type BlobReaderOptions,
  type ImagePart,
} from '../../../streams/read/blob-reader.js';
import { readerOf, type ReaderAt } from '../../../streams/io/reader-at.js';
import { failureOf, golden, goldenBlob } from '../../support/images/golden.js';
import { buildLayer, type BuildPart } from '../../support/images/build-layer.js';
import { entryOf } from '../../support/images/entries.js';
import { randomBytes, wordyBytes } from '../../support/random.js';

await prepareCompressors();

interface Case {
  bootstrap: Bootstrap;
  blob: Buffer;
}

/** An image of `kinds.tar`, however it was built. */
const openCase = (name: string): Case => {
  if (!name.startsWith('inline')) {
    return { bootstrap: parseBootstrap(golden(name)), blob: fs.readFileSync(goldenBlob(name)) };
  }
  const blob = golden(name, 'blob');
  const tail = blob.subarray(blob.length - tailSize(blob.length));
  const boot = sectionsOfTail(tail, blob.length)!.find(({ name }) => name === 'image.boot')!;
  const stored = blob.subarray(boot.offset, boot.offset + boot.size);
  return { bootstrap: parseBootstrap(unpackSection(boot, stored)), blob };
};

const read = async (
  { bootstrap, blob }: Case,
  options: Partial<BlobReaderOptions> = {},
): Promise<ImagePart[]> => {
  const blobs = new Map([[0, readerOf(blob, 'blob')]]);
  const parts: ImagePart[] = [];
  for await (const batch of blobReader({ bootstrap, blobs, ...options })) {
    parts.push(...(batch as ImagePart[])); // what the stream carries
  }
  return parts;
};

/** Content of files by path. */
const contents = (parts: readonly ImagePart[]): Map<string, Buffer> => {
  const files = new Map<string, Buffer[]>();
  let path = '';
  for (const part of parts) {
    if (part.kind === 'entry') {
      path = part.entry.path;
      if (part.entry.type === 'file') files.set(path, []);
    } else if (part.kind === 'chunk') files.get(path)!.push(part.bytes);
  }
  return new Map([...files].map(([name, pieces]) => [name, Buffer.concat(pieces)]));
};

const CASES = ['tar-rafs.kinds.zstd.v6', 'toc.kinds.none', 'batch.kinds.zstd', 'inline.kinds.zstd'];

t.test('the content of files, whatever way it is stored', async t => {
  const plain = contents(await read(openCase('toc.kinds.none')));
  t.match(plain.get('etc/passwd')?.toString(), /^root:.*\n$/);
  t.ok(plain.size > 8);
  for (const name of CASES) {
    const image = openCase(name);
    const parts = await read(image);
    const files = contents(parts);
    t.strictSame([...files.keys()], [...plain.keys()]);
    for (const [path, bytes] of files) t.ok(bytes.equals(plain.get(path)!), `${name}: ${path}`);
    for (const part of parts) {
      if (part.kind !== 'chunk' || part.chunk.crc32 === undefined) continue;
      t.equal(crc32c(part.bytes), part.chunk.crc32, `${name}: chunk ${part.chunk.index}`);
    }
  }
});

t.test('one entry and one end for every name, in path order', async t => {
  const image = openCase('tar-rafs.kinds.zstd.v6');
  const parts = await read(image, { rootless: true });
  const entries = parts.flatMap(part => (part.kind === 'entry' ? [part.entry] : []));
  const paths = [...walk(image.bootstrap)].map(({ path }) => path);
  t.strictSame(['', ...entries.map(({ path }) => path)], paths);
  t.equal(parts.filter(({ kind }) => kind === 'end').length, entries.length);
  const links = entries.filter(({ type }) => type === 'hardlink');
  t.strictSame(
    links.map(({ path, target, size }) => [path, target, size]),
    [
      ['usr/bin/hard2', 'usr/bin/hard', 0],
      ['usr/bin/tool', 'usr/bin/hard', 0],
    ],
  );
  t.match(
    entries.find(({ path }) => path === 'dev/sda'),
    { type: 'block', rdev: 0x800 },
  );
  t.match(
    entries.find(({ path }) => path === 'bin'),
    { type: 'symlink', target: 'usr/bin' },
  );
});

t.test('each chunk once, where that is asked for', async t => {
  const image = openCase('tar-rafs.kinds.zstd.v6');
  const indexes = (await read(image, { distinct: true })).flatMap(part =>
    part.kind === 'chunk' ? [part.chunk.index] : [],
  );
  t.equal(indexes.length, image.bootstrap.blobs[0]!.chunkCount);
  t.equal(new Set(indexes).size, indexes.length);
});

t.test('chunks of blobs that are not at hand are left out', async t => {
  const parts = await read(openCase('tar-rafs.kinds.zstd.v6'), { blobs: new Map() });
  t.equal(parts.filter(({ kind }) => kind === 'chunk').length, 0);
  t.equal(parts.filter(({ kind }) => kind === 'entry').length, 29);
});

t.test('a blob that is cut says which chunk is missing', async t => {
  const image = openCase('tar-rafs.kinds.zstd.v6');
  const error = await failureOf(read({ ...image, blob: image.blob.subarray(0, 22000) }));
  t.match(error, { code: 'CORRUPT', at: { path: /^\/x\//, blob: /^2faee44c/, offset: Number } });
});

t.test('what cannot be read is said to be so', async t => {
  const zran = openCase('zran.kinds');
  // what is there is the blob meta, which is not the layer
  t.match(await failureOf(read(zran)), { code: 'CORRUPT', message: /bytes at/ });
});

t.test('a chunk whose stored size is absurd is not read', async t => {
  const { bootstrap, blob } = openCase('tar-rafs.kinds.zstd.v6');
  const huge = (chunk: StoredChunk): StoredChunk => ({ ...chunk, compressedSize: 2 ** 31 });
  const altered: Bootstrap = {
    ...bootstrap,
    blobs: bootstrap.blobs,
    inode: id => bootstrap.inode(id),
    children: (dir, parentId) => bootstrap.children(dir, parentId),
    *chunks(file) {
      for (const chunk of bootstrap.chunks(file)) yield huge(chunk);
    },
    xattrs: inode => bootstrap.xattrs(inode),
    symlinkTarget: symlink => bootstrap.symlinkTarget(symlink),
  };
  t.match(await failureOf(read({ bootstrap: altered, blob })), { code: 'CORRUPT' });
});

/** A layer whose files lie in its blob in another order than in its image. */
const shuffledLayer = async (compressor: 'none' | 'zstd' | 'lz4_block') => {
  const files = new Map<string, Buffer>();
  const parts: BuildPart[] = [];
  for (let i = 0; i < 300; i++) {
    const path = `f${String((i * 97) % 300).padStart(3, '0')}`;
    const size = i % 50 === 0 ? 700_000 : (i * 7919) % 30_000;
    const content = i % 3 === 0 ? randomBytes(size, i) : wordyBytes(size, i);
    files.set(path, content);
    const entry = entryOf('file', path, { size });
    parts.push({ kind: 'entry', entry }, { kind: 'data', bytes: content }, { kind: 'end' });
  }
  return { files, layer: await buildLayer(parts, { compressor, chunkSize: 0x100000 }) };
};

for (const compressor of ['none', 'zstd', 'lz4_block'] as const) {
  t.test(`${compressor}: buffers are used again once a sink has seen them`, async t => {
    const { files, layer } = await shuffledLayer(compressor);
    const { bootstrap, blob } = layer;
    let reads = 0;
    const source: ReaderAt = {
      ...readerOf(blob, 'blob'),
      async read(offset, size) {
        reads++;
        await turn();
        return Buffer.from(blob.subarray(offset, offset + size));
      },
    };
    const pool = contentPool(bootstrap);
    const buffers = new Set<ArrayBufferLike>();
    const copies: ImagePart[] = [];
    const blobs = new Map([[0, source]]);
    for await (const batch of blobReader({ bootstrap, blobs, pool })) {
      await turn(); // others may be made meanwhile
      for (const part of batch as ImagePart[]) {
        if (part.kind === 'chunk') {
          buffers.add(part.bytes.buffer);
          copies.push({ ...part, bytes: Buffer.from(part.bytes) });
          pool.releaseBefore(part.bytes);
        } else copies.push(part);
      }
    }
    const got = contents(copies);
    t.equal(got.size, files.size);
    for (const [path, content] of files) {
      if (!got.get(path)!.equals(content)) t.fail(`content of ${path}`);
    }
    t.ok(buffers.size < 8, `${buffers.size} buffers`);
    t.ok(reads < files.size / 2, `${reads} reads`);
  });
}

t.test('a chunk larger than the image says is read into memory of its own', async t => {
  const { layer } = await shuffledLayer('zstd');
  const smaller = new BufferPool(1000);
  const blobs = new Map([[0, readerOf(layer.blob, 'blob')]]);
  let size = 0;
  for await (const batch of blobReader({ bootstrap: layer.bootstrap, blobs, pool: smaller })) {
    for (const part of batch as ImagePart[]) if (part.kind === 'chunk') size += part.bytes.length;
  }
  t.ok(size > 4_000_000);
});
