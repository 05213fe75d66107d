import fc from 'fast-check';
import t from 'tap';
import { ZranContext } from '../../../lib/layout/blob.js';
import type { ContextPart } from '../../../lib/model/parts.js';
import { ZranCutter, ZranTable } from '../../../lib/blob/zran.js';
import type { GzipBoundary, GzipPosition } from '../../../lib/compress/gzip-position.js';
import { randomBytes } from '../../support/random.js';

interface Move {
  /** bytes of input and output up to the chunk, and of the chunk */
  gapIn: number;
  gapOut: number;
  sizeIn: number;
  sizeOut: number;
  /** whether a block ends before the chunk, and how far before */
  boundary: boolean;
}

const KIB = 1024;

/** When a context ends, in the words of the format's description: sizes of input and output. */
const dueContexts = (moves: readonly Move[], chunkSize: number): number[] => {
  const contexts: number[] = [];
  let [inAt, outAt] = [100, 512];
  let block = { in: 10, out: 0 };
  let current: { in: number; out: number; length: number } | undefined;
  for (const { gapIn, gapOut, sizeIn, sizeOut, boundary } of moves) {
    inAt += gapIn;
    outAt += gapOut;
    if (boundary) block = { in: inAt, out: outAt };
    const isNew =
      !current ||
      (block.in !== current.in &&
        (inAt - current.in >= 512 * KIB ||
          outAt - current.out + chunkSize >= 2048 * KIB ||
          (inAt - current.in > 2 * current.length && current.length > 512 * KIB)));
    if (isNew) {
      current = { ...block, length: 0 };
      contexts.push(0);
    }
    inAt += sizeIn;
    outAt += sizeOut;
    current!.length = inAt - current!.in;
    contexts[contexts.length - 1]! += 1;
  }
  return contexts;
};

t.test('chunks fall into contexts by input, output and gaps', t => {
  const size = fc.oneof(fc.nat(2000), fc.nat(300 * KIB), fc.nat(1200 * KIB));
  const move = fc.record({
    gapIn: fc.oneof(fc.nat(300), fc.nat(900 * KIB)),
    gapOut: fc.nat(700),
    sizeIn: size,
    sizeOut: size,
    boundary: fc.boolean(),
  });
  let most = 0;
  fc.assert(
    fc.property(
      fc.array(move, { minLength: 1, maxLength: 60, size: 'max' }),
      fc.constantFrom(4 * KIB, 1024 * KIB),
      (moves, chunkSize) => {
        const cutter = new ZranCutter(chunkSize);
        const at: GzipPosition = { inOffset: 100, outOffset: 512 };
        const window = Buffer.alloc(4);
        let boundary: GzipBoundary = { inOffset: 10, outOffset: 0, bits: 0, byte: 0, window };
        const counts: number[] = [];
        const closed: ContextPart[] = [];
        const ends: GzipPosition[] = [];
        moves.forEach((m, i) => {
          at.inOffset += m.gapIn;
          at.outOffset += m.gapOut;
          if (m.boundary) {
            window.writeInt32LE(i); // the memory of a window is used again
            boundary = { ...at, bits: i % 8, byte: i % 256, window };
          }
          const start = { ...at };
          const complete = cutter.begin(at, boundary);
          if (complete) closed.push(complete);
          at.inOffset += m.sizeIn;
          at.outOffset += m.sizeOut;
          const place = cutter.end(at);
          counts[place.context] = (counts[place.context] ?? 0) + 1;
          ends[place.context] = { ...at };
          t.equal(place.inOffset, start.inOffset);
          t.equal(place.inSize, m.sizeIn);
          t.equal(closed.length, place.context, 'those before are complete');
          const open = cutter.last()!.context;
          t.equal(open.outOffset + place.offset, start.outOffset);
        });
        closed.push(cutter.last()!);
        t.same(counts, dueContexts(moves, chunkSize));
        closed.forEach(({ context }, i) => {
          t.equal(context.inOffset + context.inSize, ends[i]!.inOffset);
          t.equal(context.outOffset + context.outSize, ends[i]!.outOffset);
        });
        most = Math.max(most, closed.length);
      },
    ),
    { numRuns: 150 },
  );
  t.ok(most > 10, `up to ${most} contexts`);
  t.equal(new ZranCutter(4096).last(), undefined);
  t.end();
});

const contextOf = (i: number): ContextPart => ({
  kind: 'context',
  context: {
    inOffset: 1000 * i + 7,
    outOffset: 5000 * i,
    inSize: 900,
    outSize: 4000,
    bits: i % 8,
    byte: i,
  },
  dictionary: randomBytes(i * 300, i),
});

t.test('a table has records, then dictionaries, behind what came before', t => {
  const table = new ZranTable();
  const contexts = Array.from({ length: 20 }, (_, i) => contextOf(i));
  for (const context of contexts) table.add(context);
  t.equal(table.count, 20);
  const { size } = table;
  const head = randomBytes(48, 3);
  const bytes = Buffer.from(table.behind(head)!);
  t.equal(bytes.length, head.length + size);
  t.ok(bytes.subarray(0, 48).equals(head));
  const dictionaries = 48 + 20 * 40;
  contexts.forEach(({ context, dictionary }, i) => {
    const record = ZranContext.decode(bytes, 48 + i * 40);
    t.match(record, { ...context, dictSize: dictionary.length });
    const at = dictionaries + record.dictOffset;
    t.ok(bytes.subarray(at, at + record.dictSize).equals(dictionary));
  });
  t.end();
});

t.test('a record has its fields where readers look for them', t => {
  const table = new ZranTable();
  table.add({
    kind: 'context',
    context: {
      inOffset: 0x0102030405,
      outOffset: 0x1112131415,
      inSize: 0x21222324,
      outSize: 0x31323334,
      bits: 3,
      byte: 0xab,
    },
    dictionary: Buffer.alloc(0x41),
  });
  const record = table.behind(Buffer.alloc(0))!.subarray(0, 40);
  t.equal(
    record.toString('hex'),
    '0504030201000000' + // in the layer
      '1514131211000000' + // in what it inflates to
      '0000000000000000' + // of the dictionary
      '24232221' +
      '34333231' +
      '41000000' +
      'ab' +
      '03' +
      '0000',
  );
  t.end();
});

t.test('only those contexts that are used', t => {
  const table = new ZranTable();
  for (let i = 0; i < 9; i++) table.add(contextOf(i));
  const used = Uint8Array.from([0, 1, 0, 0, 1, 1, 0, 0, 1]);
  const { table: kept, numbers } = table.only(used);
  t.same(
    [1, 4, 5, 8].map(i => numbers[i]),
    [0, 1, 2, 3],
  );
  const due = new ZranTable();
  for (const i of [1, 4, 5, 8]) due.add(contextOf(i));
  t.ok(kept.behind(Buffer.alloc(0))!.equals(due.behind(Buffer.alloc(0))!));
  t.end();
});

t.test('in pieces it is the same', t => {
  const table = new ZranTable();
  for (let i = 0; i < 20; i++) table.add(contextOf(i));
  const head = randomBytes(48, 3);
  const all: Buffer[] = [];
  for (const size of [1, 999, 100_000]) {
    const pieces = [...table.pieces(head, size)].map(piece => Buffer.from(piece));
    t.equal(pieces.length, 1 + Math.ceil(57_000 / size));
    all.push(Buffer.concat(pieces));
  }
  const due = table.behind(head)!; // it changes the table
  for (const bytes of all) t.ok(bytes.equals(due));
  t.end();
});
