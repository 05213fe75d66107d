import fc from 'fast-check';
import t from 'tap';
import { parseAttributes } from '../../../lib/layer/attributes.js';
import { RafsError } from '../../../lib/errors.js';

const ID = 'a1'.repeat(32);
const parse = (text: string) => parseAttributes(Buffer.from(text, 'latin1'));
const line = (more: Readonly<Record<string, string | undefined>> = {}, path = '/f'): string => {
  const all = {
    type: 'external',
    blob_index: '2',
    blob_id: ID,
    chunk_size: '1MiB',
    chunk_0_compressed_offset: '512',
    compressed_size: '9000000',
    ...more,
  };
  const said = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${path} ${said.map(([name, value]) => `${name}=${value}`).join(' ')}\n`;
};

t.test('where a file lies', async t => {
  const attributes = parse(line({ crcs: '0x1,2,0xffffFFFF' }));
  t.same(attributes.place('f', 2_500_000), {
    blobIndex: 2,
    blobId: ID,
    blobSize: 9_000_000,
    chunkSize: 0x100000,
    offset: 512,
    crcs: [1, 2, 0xffff_ffff],
  });
  t.equal(attributes.fileSize('f'), undefined);
  t.equal(parse(line({ file_size: '77' })).fileSize('f'), 77);
  t.same(parse(line({ crcs: '' })).place('f', 1).crcs, [], 'as clients say that there are none');
  t.same(parse(line()).place('f', 1).crcs, []);
});

t.test('sizes as people write them', async t => {
  const sizes = {
    ...{ 4096: 4096, '4k': 4000, '4KB': 4000, '4Ki': 4096, '4KiB': 4096, '64MiB': 0x4000000 },
    ...{ '1mb': 1_000_000, '0.5MiB': 0x80000, '7b': 7, '1gib': 0x40000000 },
  };
  for (const [text, due] of Object.entries(sizes)) {
    t.equal(parse(line({ chunk_size: text })).place('f', 1).chunkSize, due, text);
  }
  for (const text of ['0', '-1', 'x', '1XB', '1.MiB', '0x10', '9999999EiB', '4Bi']) {
    t.throws(() => parse(line({ chunk_size: text })).place('f', 1), { code: 'CORRUPT' }, text);
  }
});

t.test('what leads to an external file is external too, unless it says otherwise', async t => {
  const attributes = parse('/a/b/c type=external\n/d/e type=external\n/d type=own\n/x/y type=own');
  const external = ['a', 'a/b', 'a/b/c', 'd/e'];
  const own = ['', 'd', 'x', 'x/y', 'a/c', 'a/b/c/d', 'aa', 'b'];
  for (const path of external) t.ok(attributes.isExternal(path), path);
  for (const path of own) t.notOk(attributes.isExternal(path), path);
  t.same(
    ['a', 'a/b/c', 'd', 'x', 'a/c'].map(path => attributes.leadsToExternal(path)),
    [true, true, true, false, false],
  );
  t.same([...attributes.listed()], ['a/b/c', 'd/e']);
});

t.test('lines are those of gitattributes, patterns are paths', async t => {
  const listed = (text: string): string[] => [...parse(text).listed()];
  t.same(listed('# comment\n\n  \t\n   f type=external\r\n'), ['f'], 'blanks and comments');
  t.same(listed('\xef\xbb\xbff type=external'), ['f'], 'a byte order mark');
  t.same(listed('/a//b/./c/ type=external'), ['a/b/c'], 'components count');
  t.same(listed('*.bin type=external'), ['*.bin'], 'nothing in a pattern is special');
  t.same(listed('"a \\"b\\" \\303\\244\\n" type=external'), ['a "b" \xc3\xa4\n'], 'quoted');
  t.same(listed('\\#f type=external\n\\!g type=external'), ['#f', '!g'], 'escaped');
  t.same(listed('[attr]m type=external'), [], 'a macro');
  t.same(listed('f type=external\nf type=own'), [], 'the last line of a path counts');
  t.same(listed('f -type\ng !type\nh type\ni'), [], 'without a value');
  t.same(listed('f\ttype=external  x=a=b'), ['f']);
});

t.test('what is wrong is told with its line', async t => {
  const broken: [text: string, message: RegExp][] = [
    ['\n!f type=external', /cannot begin with '!'/],
    ['\nf ty/pe=x', /attribute 'ty\/pe'/],
    ['\nf --type', /attribute '--type'/],
    ['\n"f type=external', /missing closing quote/],
    ['\n"f\\x" type=external', /'\\x' in a path/],
  ];
  for (const [text, message] of broken) {
    t.throws(() => parse(text), { code: 'CORRUPT', message, at: { line: 2 } }, text);
  }
  const unplaced: [more: Parameters<typeof line>[0], message: RegExp][] = [
    [{ blob_index: undefined }, /missing blob_index/],
    [{ blob_index: 'x' }, /blob_index 'x' is not/],
    [{ blob_index: '256' }, /blob_index 256/],
    [{ blob_id: undefined }, /missing blob_id/],
    [{ blob_id: 'abc' }, /got 3 characters/],
    [{ blob_id: `../${'a'.repeat(61)}` }, /no '\/'/],
    [{ chunk_size: undefined }, /missing chunk_size/],
    [{ chunk_0_compressed_offset: undefined }, /missing chunk_0_compressed_offset/],
    [{ chunk_0_compressed_offset: '-1' }, /'-1' is not/],
    [{ chunk_0_compressed_offset: '99999999999999999999' }, /is not a number/],
    [{ compressed_size: undefined }, /missing compressed_size/],
    [{ compressed_size: '2000511' }, /ends at 2000512, past the end of its blob at 2000511/],
    [{ crcs: '1' }, /expected 2 crcs, one for each chunk, got 1/],
    [{ crcs: '1,g' }, /'g' in crcs is not a 32-bit hexadecimal/],
    [{ crcs: '1,123456789' }, /32-bit/],
  ];
  for (const [more, message] of unplaced) {
    const due = { code: 'CORRUPT', message, at: { line: 1 } };
    t.throws(() => parse(line(more)).place('f', 2_000_000), due, JSON.stringify(more));
  }
  t.throws(() => parse(line({ file_size: '1k' })).fileSize('f'), { message: /file_size '1k'/ });
  t.throws(() => parse('a/b type=external').place('a', 1), { code: 'CORRUPT' });
});

t.test('paths have one key where all that is said of them is the same', async t => {
  const attributes = parse(line({}, 'a') + line({}, 'b') + line({ blob_index: '1' }, 'c/d'));
  t.equal(attributes.keyOf('a'), attributes.keyOf('b'));
  t.not(attributes.keyOf('a'), attributes.keyOf('c/d'));
  t.not(attributes.keyOf('c'), attributes.keyOf('e'));
  t.equal(attributes.keyOf('e'), '');
});

t.test('any bytes are read or refused', async t => {
  const good = line({ crcs: '1,2' }) + '"q\\t" type=external\n';
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, end) => {
      const bytes = Buffer.from(good, 'latin1');
      bytes[at] = byte;
      try {
        const attributes = parseAttributes(bytes.subarray(0, end));
        for (const path of attributes.listed()) attributes.place(path, 1_500_000);
      } catch (error) {
        if (!(error instanceof RafsError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass('no other error came');
});
