import fs from 'node:fs';
import t from 'tap';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { sectionHeader } from '../../../lib/tar/header.js';
import {
  parseSectionHeader,
  parseToc,
  sectionsOfTail,
  tailSize,
  unpackSection,
} from '../../../lib/blob/toc.js';
import { expand } from '../../../lib/compress/expand.js';
import { altered, failure, golden, goldenBlob } from '../../support/images/golden.js';

await prepareCompressors();

const inline = golden('inline.kinds.zstd', 'blob');
const tailOf = (blob: Buffer): Buffer => blob.subarray(blob.length - tailSize(blob.length));

t.test('sections of a blob with everything in it', t => {
  const sections = sectionsOfTail(tailOf(inline), inline.length)!;
  t.strictSame(
    sections.map(({ name, compressor }) => [name, compressor]),
    [
      ['image.blob', 'none'],
      ['blob.meta', 'zstd'],
      ['blob.meta.header', 'none'],
      ['blob.digest', 'none'],
      ['image.boot', 'zstd'],
    ],
  );
  for (const section of sections.slice(1)) {
    const stored = inline.subarray(section.offset, section.offset + section.size);
    const bytes = unpackSection(section, stored);
    t.equal(bytes.length, section.uncompressedSize, section.name);
    if (section.name === 'image.boot') t.equal(parseBootstrap(bytes).inodeCount, 29);
    const wrong = Buffer.from(stored);
    wrong[wrong.length >> 1]! ^= 1;
    t.match(
      failure(() => unpackSection(section, wrong)),
      { at: { section: section.name } },
    );
  }
  t.end();
});

t.test('a blob without a table has its bootstrap before its last header', t => {
  const boot = golden('merge.v6');
  const blob = Buffer.concat([Buffer.alloc(100), boot, sectionHeader('image.boot', boot.length)]);
  t.match(sectionsOfTail(tailOf(blob), blob.length), [
    { name: 'image.boot', offset: 100, size: boot.length, compressor: 'none' },
  ]);
  const long = Buffer.concat([boot, sectionHeader('image.boot', boot.length + 1)]);
  t.equal(failure(() => sectionsOfTail(tailOf(long), long.length))?.code, 'CORRUPT');
  t.end();
});

t.test('what has no such tail', t => {
  const other = Buffer.concat([Buffer.alloc(600), sectionHeader('image.blob', 600)]);
  const plain = fs.readFileSync(goldenBlob('tar-rafs.kinds.zstd.v6'));
  for (const blob of [Buffer.alloc(0), Buffer.alloc(9000), other, plain]) {
    t.equal(sectionsOfTail(tailOf(blob), blob.length), undefined);
  }
  t.equal(parseSectionHeader(Buffer.alloc(10), -502), undefined);
  t.match(parseSectionHeader(sectionHeader('x', 2 ** 34), 0), { name: 'x', size: 2 ** 34 });
  t.end();
});

t.test('altered tails: a result or a RafsError', t => {
  let refused = 0;
  for (const tail of altered(tailOf(inline), 3000)) {
    const error = failure(() => {
      const sections = sectionsOfTail(tail, inline.length);
      for (const { offset, size } of sections ?? []) t.ok(offset + size <= inline.length);
      if (!sections) refused += 1;
    });
    if (error) refused += 1;
  }
  t.ok(refused > 300, `${refused} are refused`);
  t.end();
});

t.test('tables that make no sense', t => {
  t.equal(failure(() => parseToc(Buffer.alloc(0), 100))?.code, 'CORRUPT', 'empty');
  t.equal(failure(() => parseToc(Buffer.alloc(100), 100))?.code, 'CORRUPT', 'not whole');
  const tail = tailOf(inline);
  const toc = tail.subarray(tail.length - 512 - 5 * 128, tail.length - 512);
  t.equal(parseToc(toc, inline.length - 512 - 5 * 128).length, 5);
  const twice = Buffer.concat([toc, toc.subarray(0, 128)]);
  t.match(
    failure(() => parseToc(twice, inline.length)),
    { message: /twice/ },
  );
  t.match(
    failure(() => parseToc(toc, 1000)),
    { message: /ends at/ },
  );
  t.end();
});

t.test('sizes are checked before they are allocated', t => {
  const at = { section: 'x' };
  t.match(
    failure(() => expand('zstd', Buffer.alloc(8), 2 ** 40, at)),
    { code: 'LIMIT' },
  );
  t.match(
    failure(() => expand('zstd', Buffer.alloc(8), 2 ** 25, at)),
    { code: 'CORRUPT' },
  );
  t.match(
    failure(() => expand('lz4_block', Buffer.alloc(8), 4096, at)),
    { code: 'CORRUPT' },
  );
  t.match(
    failure(() => expand('none', Buffer.alloc(8), 9, at)),
    { code: 'CORRUPT', at },
  );
  t.end();
});
