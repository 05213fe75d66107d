import t from 'tap';
import { BlobFile } from '../../../lib/blob/blob-file.js';
import { cachedChunkInfo, chunkInfoSections, digestSections } from '../../../lib/blob/sections.js';
import type { StoredCi } from '../../../lib/blob/chunk-info-writer.js';
import { sha256 } from '../../../lib/crypto/digest.js';
import type { SectionPart } from '../../../lib/model/parts.js';
import { sectionsOfTail, tailSize, unpackSection } from '../../../lib/blob/toc.js';
import { randomBytes } from '../../support/random.js';

const table: StoredCi = {
  plain: randomBytes(5000, 1),
  stored: randomBytes(5000, 1),
  compressor: 'none',
  header: randomBytes(4096, 2),
};
const bytesOf = (parts: Iterable<SectionPart>): Buffer =>
  Buffer.concat([...parts].map(({ bytes }) => bytes));

t.test('sections are found where the table of contents says, with their digests', t => {
  const file = new BlobFile();
  const bytes: Buffer[] = [file.append(randomBytes(77, 3)).bytes];
  const sections = chunkInfoSections(file, table, { tarHeaders: true });
  for (;;) {
    const next = sections.next();
    if (next.done) {
      t.same(next.value, {
        ciCompressor: 0,
        ciOffset: 77,
        ciCompressedSize: 5000,
        ciUncompressedSize: 5000,
      });
      break;
    }
    bytes.push(next.value.bytes);
  }
  const before = file.digest();
  const digests = randomBytes(96, 4);
  const made = [...digestSections(file, digests)];
  bytes.push(bytesOf(made));
  t.notOk(file.digest().equals(before), 'the tar header of the digests is hashed');
  const only = new BlobFile();
  only.append(Buffer.concat([...bytes.slice(0, -1), made[1]!.bytes]));
  t.ok(file.digest().equals(only.digest()), 'the digests are not');
  bytes.push(file.tableOfContents().part.bytes);
  const blob = Buffer.concat(bytes);
  const found = sectionsOfTail(blob.subarray(blob.length - tailSize(blob.length)), blob.length)!;
  t.same(
    found.map(({ name }) => name),
    ['blob.meta', 'blob.meta.header', 'blob.digest'],
  );
  const due = [table.plain, table.header, digests];
  found.forEach((section, i) => {
    const stored = blob.subarray(section.offset, section.offset + section.size);
    t.ok(unpackSection(section, stored).equals(due[i]!), section.name);
  });
  t.end();
});

t.test('without tar headers, and a header that is stored otherwise', t => {
  const file = new BlobFile();
  const header = randomBytes(4096, 9);
  const bytes = bytesOf(chunkInfoSections(file, table, { tarHeaders: false, header }));
  t.ok(bytes.equals(Buffer.concat([table.stored, header])));
  const toc = file.tableOfContents().part.bytes;
  t.ok(toc.includes(sha256(table.header)), 'its digest is that of the plain one');
  t.end();
});

t.test('the header in a cache starts at a multiple of 4 KiB', t => {
  for (const size of [1, 4096, 5000]) {
    const plain = randomBytes(size, size);
    const bytes = bytesOf(cachedChunkInfo({ ...table, plain }));
    const end = size <= 4096 ? 4096 : 8192;
    t.equal(bytes.length, end + 4096);
    t.ok(bytes.subarray(0, size).equals(plain));
    t.ok(bytes.subarray(size, end).every(byte => byte === 0));
    t.ok(bytes.subarray(end).equals(table.header));
  }
  t.end();
});
