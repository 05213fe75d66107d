import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { GzipHeader } from '../../../lib/compress/gzip-header.js';
import { RafsError } from '../../../lib/errors.js';
import { gzipHeader, type GzipFields } from '../../support/tar/gzip.js';

/** Feeds a header in pieces cut at `cuts`; returns how many bytes were its own. */
const read = (bytes: Buffer, cuts: readonly number[]): { used: number; complete: boolean } => {
  const header = new GzipHeader(1000);
  const places = [...cuts.map(cut => cut % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  let used = 0;
  let from = 0;
  for (const to of places) {
    used += header.push(bytes.subarray(from, to));
    from = to;
  }
  return { used, complete: header.complete };
};

const text = fc.uint8Array({ maxLength: 40 }).map(bytes => bytes.map(byte => byte || 1));
const fields: fc.Arbitrary<GzipFields> = fc.record(
  { extra: fc.uint8Array({ maxLength: 300 }), name: text, comment: text, crc: fc.boolean() },
  { requiredKeys: [] },
);

t.test('a header with any fields ends where it does, however it is cut', async () => {
  fc.assert(
    fc.property(fields, fc.array(fc.nat(), { maxLength: 12 }), (made, cuts) => {
      const header = gzipHeader(made);
      const { used, complete } = read(Buffer.concat([header, Buffer.from('more')]), cuts);
      return complete && used === header.length;
    }),
    { numRuns: 2000 },
  );
});

t.test('a header that is cut is not complete', async () => {
  fc.assert(
    fc.property(fields, fc.nat(), (made, cut) => {
      const header = gzipHeader(made);
      const part = header.subarray(0, cut % header.length);
      const { used, complete } = read(part, [3, 11, 12]);
      return !complete && used === part.length;
    }),
  );
});

t.test('a header is accepted as by zlib, whatever is changed in it', async t => {
  let accepted = 0;
  let refused = 0;
  fc.assert(
    fc.property(fields, fc.nat(), fc.nat(7), (made, at, bit) => {
      const header = gzipHeader(made);
      const place = at % header.length;
      header[place]! ^= 1 << bit;
      const bytes = Buffer.concat([header, zlib.gzipSync('x').subarray(10)]);
      let want = true;
      try {
        zlib.gunzipSync(bytes);
      } catch (error) {
        // other places for the header's end leave what is no deflate stream, but the header is one
        if (/header|method|flags/.test((error as Error).message)) want = false;
      }
      let got = true;
      try {
        read(bytes, [at]);
      } catch (error) {
        if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
        const { offset } = error.at;
        t.ok(Number(offset) >= 1000 && Number(offset) <= 1000 + bytes.length, 'offset');
        got = false;
      }
      if (got) accepted++;
      else refused++;
      return got === want;
    }),
    { numRuns: 3000 },
  );
  t.ok(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`);
});

t.test('what is wrong with a header, and where', async t => {
  const good = gzipHeader({ name: Buffer.from('name'), crc: true });
  const bad = (at: number, value: number): Buffer => {
    const copy = Buffer.from(good);
    copy[at] = value;
    return copy;
  };
  const cases: [Buffer, RegExp, number][] = [
    [bad(0, 0x1e), /expected 0x1f, got 0x1e/, 0],
    [bad(1, 0), /expected 0x8b, got 0x0/, 1],
    [bad(2, 7), /expected method 8, got 7/, 2],
    [bad(3, 0x2a), /reserved flags in 0x2a/, 3],
    [bad(good.length - 1, good.at(-1)! ^ 1), /checksum/, good.length],
  ];
  for (const [bytes, message, offset] of cases) {
    t.throws(() => read(bytes, []), { code: 'CORRUPT', message, at: { offset: 1000 + offset } });
  }
});
