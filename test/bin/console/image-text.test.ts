import t from 'tap';
import { quoted } from '../../../bin/console/image-text.js';

const bytes = (text: string): string => Buffer.from(text).toString('latin1');

t.test('quoted names', t => {
  for (const [name, due] of [
    ['plain', '"plain"'],
    [bytes('grün €😀'), '"grün €😀"'],
    ['a"b\\c\'d', '"a\\"b\\\\c\\\'d"'],
    ['\n\r\t\0\x07\x7f', '"\\n\\r\\t\\0\\u{7}\\u{7f}"'],
    ['\xff', '"\\xFF"'],
    ['a\xe2\x82b\xc3', '"a\\xE2\\x82b\\xC3"'],
    [bytes('e\u0301'), '"e\\u{301}"'],
    [bytes('\u200b\u00a0'), '"\\u{200b}\\u{a0}"'],
    [bytes('\ufffd'), '"\ufffd"'],
    [`${bytes('ü')}\x80${bytes('ü')}`, '"ü\\x80ü"'],
    ['', '""'],
  ] as const) {
    t.equal(quoted(name), due);
  }
  t.end();
});

t.test('quoted names of a megabyte that is not UTF-8, once quadratic', t => {
  t.equal(quoted('\xff'.repeat(0x100000)), `"${'\\xFF'.repeat(0x100000)}"`);
  const mixed = `${bytes('grün€')}\xe2\x82`.repeat(0x8000);
  t.equal(quoted(mixed), `"${'grün€\\xE2\\x82'.repeat(0x8000)}"`);
  t.end();
});
