import { spawnSync } from 'node:child_process';
import type { Duplex } from 'node:stream';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { BytesPart } from '../../../lib/model/parts.js';
import { nodeDecoder, nodeUnzstd, unzstd } from '../../../streams/layer/unzstd.js';
import { numbers, randomBytes, wordyBytes } from '../../support/random.js';
import { collect, cutAt } from '../../support/stream/stage.js';
import { makeFrame, skippableFrame, storedFrame, type MakeFrame } from '../../support/tar/zstd.js';

const plainOf = (parts: readonly BytesPart[]): Buffer => Buffer.concat(parts.map(p => p.bytes));

/** What must hold of a decoder, whichever it is. */
const holds = (t: Test, make: MakeFrame, open: () => Duplex): void => {
  const decode = async (source: Buffer, cuts: readonly number[] = [], slow = false) =>
    collect<BytesPart, BytesPart>(open(), cutAt(source, cuts), { slow });

  t.test('plain bytes come out, however the source is made and cut', async t => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            size: fc.nat(300_000),
            noisy: fc.boolean(),
            level: fc.integer({ min: 1, max: 9 }),
            checksum: fc.boolean(),
            contentSize: fc.boolean(),
            skippable: fc.boolean(),
          }),
          { minLength: 1, maxLength: 4 },
        ),
        fc.array(fc.nat(), { maxLength: 9 }),
        fc.boolean(),
        async (frames, cuts, slow) => {
          const plains = frames.map(({ size, noisy }, i) =>
            noisy ? randomBytes(size, i) : wordyBytes(size, i),
          );
          const source = Buffer.concat(
            frames.flatMap((options, i) => [
              ...(options.skippable ? [skippableFrame(Buffer.alloc(i * 10))] : []),
              make(plains[i]!, options),
            ]),
          );
          const out = await decode(source, cuts, slow);
          t.ok(plainOf(out).equals(Buffer.concat(plains)));
          let offset = 0;
          for (const part of out) {
            if (part.offset !== offset) t.fail(`at ${part.offset}, not ${offset}`);
            offset += part.bytes.length;
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  t.test('parts are bounded, and belong to the reader', async t => {
    const plain = Buffer.concat([wordyBytes(100_000, 1), Buffer.alloc(60_000_000)]);
    const out = await decode(make(plain), [100]);
    t.ok(Math.max(...out.map(part => part.bytes.length)) <= 0x80000);
    t.ok(plainOf(out).equals(plain));
  });

  t.test('byte by byte, with skippable frames only, and behind the last frame', async t => {
    const plain = Buffer.from('some content');
    const skippable = skippableFrame(Buffer.from('signature'));
    const source = Buffer.concat([skippable, make(plain), storedFrame(plain), skippable]);
    const everywhere = Array.from({ length: source.length }, (_, i) => i);
    t.equal(plainOf(await decode(source, everywhere)).toString(), 'some content'.repeat(2));
    t.strictSame(await decode(skippable), []);
  });

  t.test('a source that is cut is CORRUPT', async t => {
    const frame = make(wordyBytes(3000, 2), { checksum: true });
    const source = Buffer.concat([frame, frame]);
    for (let size = 0; size < source.length; size += size < 30 ? 1 : 37) {
      const promise = decode(source.subarray(0, size), [size >> 1]);
      if (size === frame.length) await promise;
      else await t.rejects(promise, { code: 'CORRUPT', at: { offset: Number } }, `${size}`);
    }
  });

  t.test('a damaged source is CORRUPT, or damaged where nothing tells', async t => {
    const next = numbers(3);
    const plain = wordyBytes(2000, 4);
    const frame = make(plain, { checksum: true });
    let refused = 0;
    for (let i = 0; i < 200; i++) {
      const source = Buffer.from(frame);
      source[next(i % 4 ? source.length : 12)]! ^= 1 << next(8);
      try {
        const out = await decode(source, [next(source.length)]);
        // the checksum was turned off with its flag, or the magic to that of a skippable frame
        if (!plainOf(out).equals(plain))
          t.equal(source.subarray(4, 5).equals(frame.subarray(4, 5)), false);
      } catch (error) {
        if (!(error instanceof RafsError)) throw error;
        t.match(error.code, /CORRUPT|UNSUPPORTED/);
        refused++;
      }
    }
    t.ok(refused > 150, `${refused} refused`);
  });

  t.test('bytes behind the last frame are CORRUPT', async t => {
    const source = Buffer.concat([make(Buffer.from('x')), Buffer.from('garbage')]);
    await t.rejects(decode(source), { code: 'CORRUPT' });
  });

  t.test('a window over 512 MiB is UNSUPPORTED', async t => {
    const content = Buffer.from('x');
    t.equal(plainOf(await decode(storedFrame(content, 29))).toString(), 'x');
    await t.rejects(decode(storedFrame(content, 30)), { code: 'UNSUPPORTED' });
  });
  t.end();
};

const missing = makeFrame ? false : 'zstd-napi is not installed';
t.test('with libzstd', { skip: missing }, t => {
  holds(t, makeFrame!, unzstd);
});

const create = nodeDecoder();
t.test('with Node', { skip: missing || (create ? false : 'this Node has no zstd') }, t => {
  holds(t, makeFrame!, () => nodeUnzstd(create!));
});

const tool = spawnSync('zstd', ['--version']).status === 0;
t.test('what zstd(1) makes', { skip: missing || (tool ? false : 'there is no zstd') }, async t => {
  const plain = Buffer.concat([wordyBytes(500_000, 5), randomBytes(100_000, 6)]);
  for (const args of [['-1'], ['-19'], ['-3', '--no-check'], ['-9', '--long=27']]) {
    const { stdout } = spawnSync('zstd', ['-c', ...args], { input: plain, maxBuffer: 2 ** 24 });
    const out = await collect<BytesPart, BytesPart>(unzstd(), cutAt(stdout, [1000, 60_000]));
    t.ok(plainOf(out).equals(plain), args.join(' '));
  }
});
