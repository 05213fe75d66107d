import { spawnSync } from 'node:child_process';
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { BytesPart } from '../../../lib/model/parts.js';
import { GzipDecoder, gunzip } from '../../../streams/layer/gunzip.js';
import { gzipMember } from '../../support/tar/gzip.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { collect, cutAt } from '../../support/stream/stage.js';

const plainOf = (parts: readonly BytesPart[]): Buffer => Buffer.concat(parts.map(p => p.bytes));

/** Cuts `bytes` every `size`. */
const every = (bytes: Buffer, size: number): BytesPart[] =>
  cutAt(
    bytes,
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => i * size),
  );

t.test('plain bytes come out, however the source is cut and however slow the reader', async t => {
  const plain = Buffer.concat([
    wordyBytes(40_000, 1),
    randomBytes(40_000, 2),
    Buffer.alloc(40_000),
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(120_000), { maxLength: 4 }),
      fc.integer({ min: 0, max: 9 }),
      fc.array(fc.nat(100_000), { maxLength: 9 }),
      fc.record({ batch: fc.integer({ min: 1, max: 4 }), slow: fc.boolean() }),
      async (memberCuts, level, cuts, options) => {
        const members = cutAt(plain, memberCuts).map(({ bytes }, i) =>
          gzipMember(bytes, i % 2 ? { name: Buffer.from('x'), crc: true } : {}, { level }),
        );
        const source = Buffer.concat([...members, Buffer.alloc(cuts.length * 100)]);
        const out = await collect<BytesPart, BytesPart>(gunzip(), cutAt(source, cuts), options);
        t.ok(plainOf(out).equals(plain));
        let offset = 0;
        for (const part of out) {
          t.equal(part.offset, offset);
          offset += part.bytes.length;
        }
      },
    ),
    { numRuns: 40 },
  );
});

t.test('byte by byte', async t => {
  const plain = wordyBytes(3000, 3);
  const fields = { extra: randomBytes(20, 4), name: Buffer.from('n'), comment: Buffer.from('c') };
  const source = Buffer.concat([
    gzipMember(plain, { ...fields, crc: true }),
    gzipMember(Buffer.alloc(0)),
    gzipMember(plain, fields),
  ]);
  const out = await collect<BytesPart, BytesPart>(gunzip(), every(source, 1));
  t.ok(plainOf(out).equals(Buffer.concat([plain, plain])));
});

t.test(
  'parts are at most 1 MiB, whatever a stream inflates to, and belong to the reader',
  async t => {
    const plain = Buffer.concat([
      wordyBytes(100_000, 5),
      Buffer.alloc(30_000_000),
      randomBytes(9, 6),
    ]);
    const source = zlib.gzipSync(plain);
    const out = await collect<BytesPart, BytesPart>(gunzip(), cutAt(source, [source.length - 50]));
    t.ok(Math.max(...out.map(part => part.bytes.length)) <= 0x100000);
    t.ok(plainOf(out).equals(plain));
  },
);

t.test('members of several MiB, and many small ones', async t => {
  const big = wordyBytes(3_000_000, 7);
  const members = Array.from({ length: 5000 }, (_, i) => gzipMember(Buffer.from(`${i} `)));
  const out = await collect<BytesPart, BytesPart>(
    gunzip(),
    every(Buffer.concat([zlib.gzipSync(big), ...members, zlib.gzipSync(big)]), 0x80000),
  );
  const small = Array.from({ length: 5000 }, (_, i) => `${i} `).join('');
  t.ok(plainOf(out).equals(Buffer.concat([big, Buffer.from(small), big])));
});

/** What the decoder makes of a source; undefined where it fails, which must be with CORRUPT. */
const decoded = (source: Buffer, feed: number): { plain?: Buffer; error?: RafsError } => {
  const decoder = new GzipDecoder();
  const pieces: Buffer[] = [];
  try {
    for (let at = 0; at < source.length; at += feed) {
      pieces.push(...decoder.push(source.subarray(at, at + feed)));
    }
    decoder.end();
  } catch (error) {
    if (!(error instanceof RafsError) || error.code !== 'CORRUPT') throw error;
    return { error };
  }
  return { plain: Buffer.concat(pieces) };
};

t.test('a source that is cut is CORRUPT, at its end', async t => {
  const source = gzipMember(wordyBytes(900, 8), { name: Buffer.from('name'), crc: true });
  for (let size = 0; size < source.length; size++) {
    const { error } = decoded(source.subarray(0, size), 1 + (size % 50));
    if (error?.at.offset !== size) t.fail(`cut at ${size}`, { place: error?.at ?? 'none' });
  }
  t.ok(decoded(source, 77).plain);
});

t.test('a damaged source is accepted and refused as by zlib', async t => {
  const next = numbers(9);
  let accepted = 0;
  let refused = 0;
  const sources = Array.from({ length: 20 }, (_, i) => {
    const plain = i % 2 ? wordyBytes(400, i) : randomBytes(300, i);
    return gzipMember(
      plain,
      { name: Buffer.from('some name'), crc: i % 3 === 0 },
      { level: i % 10 },
    );
  });
  for (let i = 0; i < 1500; i++) {
    const source = Buffer.from(sources[i % sources.length]!);
    source[next(next(3) ? source.length : 30)]! ^= 1 << next(8);
    let want: Buffer | undefined;
    try {
      want = zlib.gunzipSync(source);
    } catch {
      // refused
    }
    const { plain, error } = decoded(source, 1 + next(200));
    if (want ? !plain?.equals(want) : plain) {
      t.fail('not as zlib', { source: source.toString('hex') });
    }
    if (error) {
      const offset = Number(error.at.offset);
      t.ok(offset >= 0 && offset <= source.length, 'a place in the source');
      refused++;
    } else accepted++;
  }
  t.ok(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`);
});

t.test('what is wrong with a member, and where', async t => {
  const good = gzipMember(wordyBytes(500, 10));
  const with_ = (at: number): Buffer => {
    const copy = Buffer.from(good);
    copy.writeUInt8(copy.readUInt8(at) ^ 0x80, at);
    return copy;
  };
  const end = good.length;
  const cases: [string, Buffer, RegExp, number][] = [
    ['checksum', with_(end - 8), /checksum 0x/, end - 8],
    ['size', with_(end - 1), /expected \d+ bytes, got 500$/, end - 4],
    ['second header', Buffer.concat([good, with_(0)]), /expected 0x1f, got 0x9f/, end],
    ['bytes behind', Buffer.concat([good, Buffer.from('x')]), /expected 0x1f/, end],
    [
      'bytes behind zeros',
      Buffer.concat([good, Buffer.alloc(9), good]),
      /unexpected bytes after/,
      end + 9,
    ],
    ['not gzip', Buffer.from('usr/bin/'), /header/, 0],
  ];
  for (const [name, source, message, offset] of cases) {
    const parts = cutAt(source, [end, end + 3]);
    const at = { stage: 'gunzip', offset };
    await t.rejects(collect(gunzip(), parts), { code: 'CORRUPT', message, at }, name);
  }
  await t.rejects(collect(gunzip(), []), { code: 'CORRUPT', at: { offset: 0 } }, 'empty');
});

const gzipTool = spawnSync('gzip', ['--version']).status === 0;
t.test('gzip(1) agrees', { skip: gzipTool ? false : 'there is no gzip' }, async t => {
  const good = gzipMember(wordyBytes(5000, 11), { comment: Buffer.from('c') });
  const sources: Readonly<Record<string, Buffer>> = {
    good,
    padded: Buffer.concat([good, good, Buffer.alloc(1000)]),
    trailing: Buffer.concat([good, Buffer.alloc(3), Buffer.from('x')]),
    cut: good.subarray(0, -1),
    empty: Buffer.alloc(0),
  };
  for (const [name, source] of Object.entries(sources)) {
    const accepts = spawnSync('gzip', ['-t'], { input: source }).status === 0;
    t.equal(decoded(source, 100).plain !== undefined, accepts, name);
  }
});
