import t from 'tap';
import { GrowingMemory } from '../../../lib/memory/growing-memory.js';
import { numbers, randomBytes } from '../../support/random.js';

t.test('holds what was added, in order, however much it is', t => {
  const memory = new GrowingMemory();
  const pieces: Buffer[] = [];
  const next = numbers(1);
  let size = 0;
  for (let i = 0; i < 400; i++) {
    const piece = randomBytes(next(0x8001), i);
    memory.add(piece);
    t.ok(memory.view(size, piece.length).equals(piece));
    size += piece.length;
    pieces.push(piece);
    if (memory.size !== size) t.fail(`${memory.size} bytes, not ${size}`);
  }
  t.ok(size > 0x400000, 'more than one step');
  t.ok(memory.view(0, size).equals(Buffer.concat(pieces)));
  const head = randomBytes(100_000, 7);
  t.ok(memory.behind(head).equals(Buffer.concat([head, ...pieces])));
  t.equal(memory.size, head.length + size);
  t.end();
});

t.test('a head of nothing, and nothing behind a head', t => {
  const memory = new GrowingMemory();
  t.equal(memory.behind(Buffer.alloc(0)).length, 0);
  t.equal(memory.behind(Buffer.from('head')).toString(), 'head');
  t.end();
});

t.test('LIMIT for more than memory can have', t => {
  const memory = new GrowingMemory();
  memory.add(Buffer.from('x'));
  // nothing reads the bytes: what counts is how many they say they are
  const huge = { length: 2 ** 32 } as Uint8Array;
  t.throws(() => memory.add(huge), { code: 'LIMIT' });
  t.equal(memory.size, 1);
  t.end();
});
