import fc from 'fast-check';
import t from 'tap';
import { ByteArena, Column, RowIndex } from '../../../lib/memory/columns.js';

t.test('a column keeps what is pushed, whatever it starts with', async t => {
  for (const capacity of [0, 1, 2, 3, 256]) {
    for (const make of [Uint8Array, Uint16Array, Uint32Array, Float64Array]) {
      const column = new Column<Uint8Array | Uint16Array | Uint32Array | Float64Array>(
        make,
        capacity,
      );
      const due = Array.from({ length: 1000 }, (_, i) => (i * 7) % 256);
      for (const value of due) column.push(value);
      t.equal(column.length, 1000);
      t.same(
        due.map((_, i) => column.get(i)),
        due,
        `${make.name} from ${capacity}`,
      );
    }
  }
});

t.test('a column of floats holds every offset', async t => {
  const column = new Column(Float64Array);
  column.push(2 ** 53 - 1);
  column.data[0]!++;
  t.equal(column.get(0), 2 ** 53);
});

t.test('an arena gives back runs by offset and size, and compares them', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 700, size: 'max' }), { maxLength: 40, size: 'max' }),
      runs => {
        const arena = new ByteArena();
        const texts = runs.map(run => Buffer.from(run).toString('latin1'));
        // by bytes and by text, in turns
        const at = runs.map((run, i) => (i % 2 === 0 ? arena.add(run) : arena.addText(texts[i]!)));
        t.equal(
          arena.length,
          runs.reduce((sum, run) => sum + run.length, 0),
        );
        for (let i = 0; i < runs.length; i++) {
          const run = runs[i]!;
          t.ok(arena.view(at[i]!, run.length).equals(run));
          t.equal(arena.text(at[i]!, run.length), texts[i]);
          const copy = Buffer.alloc(run.length + 3, 1);
          arena.copy(at[i]!, run.length, copy, 2);
          t.ok(copy.equals(Buffer.from([1, 1, ...run, 1])));
          if (run.length >= 4) t.equal(arena.start(at[i]!), Buffer.from(run).readUInt32BE());
          for (let j = 0; j < runs.length; j++) {
            const other = runs[j]!;
            const order = Math.sign(arena.compare(at[i]!, run.length, at[j]!, other.length));
            if (order !== Buffer.compare(run, other)) t.fail(`order of ${i} and ${j}`);
            const same = Buffer.compare(run, other) === 0;
            if (arena.equalsText(at[i]!, run.length, texts[j]!) !== same) t.fail('equalsText');
            if (run.length !== other.length) continue;
            if (arena.equals(at[i]!, run.length, other) !== same) t.fail('equals');
          }
        }
      },
    ),
    { numRuns: 30 },
  );
});

t.test('an arena may be given its own bytes', async t => {
  const arena = new ByteArena();
  arena.addText('x'.repeat(4000));
  const at = arena.add(arena.view(0, 4000));
  t.equal(arena.text(at, 4000), 'x'.repeat(4000));
});

t.test('an index agrees with a map, also with few hashes and many removals', async () => {
  type Step = { key: number; remove: boolean };
  const steps = fc.array(fc.record<Step>({ key: fc.nat(300), remove: fc.boolean() }), {
    maxLength: 3000,
    size: 'max',
  });
  fc.assert(
    fc.property(steps, fc.constantFrom(1, 3, 1000), (steps, hashes) => {
      const keys: number[] = []; // of the rows
      const hashOf = (key: number): number => ((key % hashes) * 0x9e3779b1) >>> 0;
      const index = new RowIndex();
      const find = (key: number): number => index.find(hashOf(key), row => keys[row] === key);
      const model = new Map<number, number>();
      for (const { key, remove } of steps) {
        if (find(key) !== (model.get(key) ?? -1)) return false;
        if (remove && model.has(key)) {
          index.remove(hashOf(key), model.get(key)!);
          model.delete(key);
        } else if (!model.has(key)) {
          keys.push(key);
          index.add(hashOf(key), keys.length - 1);
          model.set(key, keys.length - 1);
        }
      }
      for (let key = 0; key <= 300; key++) if (find(key) !== (model.get(key) ?? -1)) return false;
      return true;
    }),
    { numRuns: 60 },
  );
});

t.test('an index grows to many rows; removing what is not there changes nothing', async t => {
  const index = new RowIndex();
  for (let row = 0; row < 20000; row++) index.add(row % 5000, row);
  index.remove(7, 1000000);
  index.remove(123456, 0);
  for (let row = 0; row < 20000; row++) {
    if (index.find(row % 5000, found => found === row) !== row) t.fail(`row ${row}`);
  }
  t.equal(
    index.find(1, () => false),
    -1,
  );
});
