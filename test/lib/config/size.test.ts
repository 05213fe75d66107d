import t from 'tap';
import { parseByteSize, parseSize } from '../../../lib/config/size.js';

t.test('sizes are decimal or hex, and nothing else', async t => {
  t.equal(parseSize('0'), 0);
  t.equal(parseSize('1048576'), 0x100000);
  t.equal(parseSize('0x100000'), 0x100000);
  t.equal(parseSize('0XfF'), 255);
  t.equal(parseSize('9007199254740991'), Number.MAX_SAFE_INTEGER);
  for (const text of [
    '',
    '-1',
    '+1',
    '1k',
    '1.5',
    '1e3',
    '0x',
    '0b1',
    ' 1',
    '9007199254740992',
    '٣',
  ]) {
    t.equal(parseSize(text), undefined, text);
  }
});

t.test('sizes with units, as people write them', async t => {
  const due: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['4096', 4096],
    ['0x1000', 4096],
    ['64k', 65_536],
    ['1MiB', 0x100000],
    ['1 mb', 0x100000],
    ['2G', 2 ** 31],
    ['1TiB', 2 ** 40],
    ['9007199254740991', 2 ** 53 - 1],
    ['8192T', undefined],
    ['1.5M', undefined],
    ['-1k', undefined],
    ['k', undefined],
    ['1Q', undefined],
    ['', undefined],
  ];
  for (const [text, size] of due) t.equal(parseByteSize(text), size, text);
});
