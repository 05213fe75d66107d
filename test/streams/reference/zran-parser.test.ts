import { gzipSync } from 'node:zlib';
import t from 'tap';
import { zranParser, type ZranPart } from '../../../streams/reference/zran-parser.js';
import { randomBytes, wordyBytes } from '../../support/random.js';
import { memberOf, paxRecord, tarOf } from '../../support/tar/tar.js';

const CHUNK = 0x1000;

/** All parts of a source that comes in pieces; chunks with a copy of their bytes. */
const parse = (source: Buffer, piece = source.length, roomSize = CHUNK): ZranPart[] => {
  const parser = zranParser({ chunkSize: CHUNK });
  const parts: ZranPart[] = [];
  for (let at = 0; ;) {
    const part = parser.next();
    if (part === 'input') {
      if (at >= source.length) break;
      parser.feed(source.subarray(at, at + piece));
      at += piece;
    } else if (part === 'room') {
      parser.setRoom(Buffer.alloc(roomSize));
    } else if (part.kind === 'chunk') {
      parts.push({ ...part, bytes: Buffer.from(part.bytes) });
    } else parts.push(part);
  }
  const last = parser.end();
  if (last) parts.push(last);
  return parts;
};

const files = [
  { name: 'empty' },
  { name: 'small', content: 'text' },
  { name: 'big', content: wordyBytes(3 * CHUNK + 77, 1) },
  { name: 'exact', content: randomBytes(2 * CHUNK, 2) },
  { name: 'stargz.index.json', content: wordyBytes(5000, 3) },
  { name: 'dir/', type: '5' },
  { name: 'link', type: '2', link: 'small' },
  { name: 'after', content: 'x' },
];
const tar = tarOf(files);

t.test('entries in their order, each file with its chunks', t => {
  const parts = parse(gzipSync(tar));
  const names = parts.flatMap(part => (part.kind === 'entry' ? [part.entry.path] : []));
  t.same(names, ['empty', 'small', 'big', 'exact', 'dir', 'link', 'after']);
  let content: Buffer[] = [];
  const contents = new Map<string, Buffer>();
  let path = '';
  for (const part of parts) {
    if (part.kind === 'entry') {
      path = part.entry.path;
      content = [];
    } else if (part.kind === 'chunk') {
      t.equal(part.chunk.fileOffset, content.length * CHUNK);
      t.equal(part.chunk.uncompressedSize, part.bytes.length);
      content.push(part.bytes);
    } else if (part.kind === 'end') contents.set(path, Buffer.concat(content));
  }
  for (const { name, content: due = '' } of files) {
    const got = contents.get(name.replace('/', ''));
    if (name !== 'stargz.index.json') t.ok(got?.equals(Buffer.from(due)), name);
  }
  t.end();
});

t.test('neither the pieces of the source nor the room for chunks matter', t => {
  for (const level of [0, 1, 6]) {
    const source = gzipSync(tar, { level });
    const due = parse(source);
    t.ok(due.length > 20);
    for (const piece of [1, 7, 512, 1000]) t.same(parse(source, piece), due, `${piece} bytes`);
    t.same(parse(source, 3000, 10 * CHUNK), due);
  }
  t.end();
});

t.test('a sparse file is UNSUPPORTED, by its path', t => {
  const records = [
    paxRecord('GNU.sparse.major', '1'),
    paxRecord('GNU.sparse.minor', '0'),
    paxRecord('GNU.sparse.name', 'holes'),
    paxRecord('GNU.sparse.realsize', '100000'),
  ];
  const map = Buffer.alloc(512);
  map.write('1\n0\n5\n');
  const sparse = Buffer.concat([
    memberOf({ name: 'x', type: 'x', content: Buffer.concat(records) }),
    memberOf({
      name: 'GNUSparseFile.0/holes',
      content: Buffer.concat([map, Buffer.from('hello')]),
    }),
    Buffer.alloc(1024),
  ]);
  t.throws(() => parse(gzipSync(sparse)), { code: 'UNSUPPORTED', at: { path: 'holes' } });
  t.end();
});

t.test('the blocks at the end of a tar may be missing', async t => {
  const last = [...files, { name: 'last', content: 'x'.repeat(CHUNK + 5) }];
  const due = parse(gzipSync(tarOf(last))).length;
  for (const end of [Buffer.alloc(0), Buffer.alloc(512)]) {
    const parts = parse(gzipSync(Buffer.concat([tarOf(last, false), end])));
    t.equal(parts.length, due, `${end.length} bytes of zeros`);
  }
  const behind = [Buffer.from('x'.repeat(3000)), Buffer.alloc(3000), tarOf([{ name: 'more' }])];
  for (const rest of behind) {
    t.equal(parse(gzipSync(Buffer.concat([tarOf(last), rest]))).length, due, 'what follows is not');
  }
});

t.test('a tar that ends early in a gzip that does not', t => {
  for (const end of [100, 512, 1024 + 300, tar.length - 2000]) {
    const cut = tar.subarray(0, end);
    // a layer may end after any entry, also within the padding of its last file
    if (end === 512 || end === 1324) t.doesNotThrow(() => parse(gzipSync(cut)), `${end} bytes`);
    else t.throws(() => parse(gzipSync(cut)), { code: 'CORRUPT' }, `${end} bytes`);
  }
  t.end();
});
