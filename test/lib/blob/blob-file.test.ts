import { createHash } from 'node:crypto';
import t from 'tap';
import { BlobFile } from '../../../lib/blob/blob-file.js';
import { Section, TocEntry } from '../../../lib/layout/blob.js';

const sha256 = (...pieces: Buffer[]): Buffer =>
  createHash('sha256').update(Buffer.concat(pieces)).digest();

t.test('sections are counted and hashed, but for those that are not to be', async t => {
  const file = new BlobFile();
  const parts = [
    file.append(Buffer.from('one')),
    file.append(Buffer.from('two'), { hashed: false }),
    file.append(Buffer.from('three')),
  ];
  t.equal(file.position, 11);
  t.ok(file.digest().equals(sha256(Buffer.from('onethree'))));
  t.ok(file.digest().equals(sha256(Buffer.from('onethree'))), 'asking does not end it');
  t.same(
    parts.map(({ kind, artifact, bytes }) => [kind, artifact, bytes.toString()]),
    [
      ['section', 'blob', 'one'],
      ['section', 'blob', 'two'],
      ['section', 'blob', 'three'],
    ],
  );
});

t.test('a tar header counts and is hashed like what it follows', async t => {
  const file = new BlobFile();
  const data = file.append(Buffer.from('data'));
  const header = file.appendHeader(Section.BLOB, 4);
  t.equal(header.bytes.length, 512);
  t.equal(header.bytes.toString('latin1', 0, 10), 'image.blob');
  t.equal(file.position, 516);
  t.ok(file.digest().equals(sha256(data.bytes, header.bytes)));
});

t.test('the table of contents is that of nydus-image', async t => {
  // the sections of a blob that nydus-image made with --features blob-toc
  const file = new BlobFile();
  const add = (name: string, offset: number, size: number, plainSize: number, digest: string) =>
    file.addToTable(name, offset, {
      compressor: 'none',
      compressedSize: size,
      uncompressedSize: plainSize,
      uncompressedDigest: Buffer.from(digest, 'hex'),
    });
  add(
    Section.BLOB,
    0,
    34851,
    73728,
    '7dd3f7370f07118b9a455de9d55fa35d6a8624154ab503beb80e4f4a9c8ea027',
  );
  add(
    Section.META,
    35363,
    176,
    176,
    '682f761c90ef14105d44fe71d658fc91c906a48cedca11c377afd0c8fc917be0',
  );
  add(
    Section.META_HEADER,
    35539,
    4096,
    4096,
    '15de15e15dadd7b70f8de8f281a611faa432afd553df66b7bdb403f29ddfe467',
  );
  add(
    Section.DIGEST,
    40147,
    352,
    352,
    'b531d01f5999bf55bb95e952a49290703c48b17c5de84b29e845907b94912865',
  );
  const { part, tocSize, tocDigest } = file.tableOfContents();
  t.equal(tocSize, 1024);
  t.equal(part.bytes.length, 1024);
  t.equal(file.position, 1024);
  t.equal(
    tocDigest.toString('hex'),
    '3a3c4756e1a86f6af36e790c964ec4fd241f26b6e87a916173aa08acd62a8c39',
  );
});

t.test('a section is marked with its compression', async t => {
  for (const [compressor, flags] of [
    ['none', 1],
    ['zstd', 2],
    ['lz4_block', 4],
  ] as const) {
    const file = new BlobFile();
    file.addToTable(Section.BOOT, 7, {
      compressor,
      compressedSize: 1,
      uncompressedSize: 2,
      uncompressedDigest: Buffer.alloc(32),
    });
    t.match(TocEntry.decode(file.tableOfContents().part.bytes), { flags, compressedOffset: 7 });
  }
});

t.test('sections go to the artifact the file is for', async t => {
  t.equal(new BlobFile('external-blob').append(Buffer.alloc(1)).artifact, 'external-blob');
});
