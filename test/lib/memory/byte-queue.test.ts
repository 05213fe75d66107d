import fc from 'fast-check';
import t from 'tap';
import { ByteQueue, copyShared } from '../../../lib/memory/byte-queue.js';

t.test('a queue gives its bytes back in order, however they are pushed and taken', async t => {
  type Step = { push: Uint8Array } | { take: number } | { some: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ push: fc.uint8Array({ maxLength: 40, size: 'max' }) }),
    fc.record({ take: fc.nat(60) }),
    fc.record({ some: fc.nat(60) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: 'max' }), steps => {
      const queue = new ByteQueue();
      let model = Buffer.alloc(0);
      for (const step of steps) {
        if ('push' in step) {
          queue.push(Buffer.from(step.push));
          model = Buffer.concat([model, step.push]);
        } else if ('take' in step) {
          const size = Math.min(step.take, model.length);
          t.ok(queue.take(size).equals(model.subarray(0, size)));
          model = model.subarray(size);
        } else {
          const got = queue.takeSome(step.some);
          t.ok(got.length <= step.some);
          t.ok(
            got.length > 0 || step.some === 0 || model.length === 0,
            'some, where there are any',
          );
          t.ok(got.equals(model.subarray(0, got.length)));
          model = model.subarray(got.length);
        }
        if (queue.length !== model.length) return false;
      }
      return queue.take(queue.length).equals(model);
    }),
  );
});

t.test('thousands of small pieces', async t => {
  const queue = new ByteQueue();
  const all = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 251));
  for (let i = 0; i < all.length; i++) queue.push(all.subarray(i, i + 1));
  t.ok(queue.take(1000).equals(all.subarray(0, 1000)));
  queue.push(Buffer.from('end'));
  t.ok(queue.take(2003).equals(Buffer.concat([all.subarray(1000), Buffer.from('end')])));
  t.equal(queue.length, 0);
});

t.test('taking is a view of one piece and a copy of several', async t => {
  const queue = new ByteQueue();
  const piece = Buffer.from('abcdef');
  queue.push(piece);
  queue.push(Buffer.from('gh'));
  t.equal(queue.take(3).buffer, piece.buffer);
  const joined = queue.take(4);
  t.equal(joined.toString(), 'defg');
  t.equal(queue.takeSome(10).toString(), 'h');
  t.equal(queue.takeSome(10).length, 0);
  t.throws(() => queue.take(1), RangeError);
});

t.test('bytes to and from shared memory', async t => {
  const shared = Buffer.from(new SharedArrayBuffer(8));
  copyShared(shared, 2, Buffer.from('abc'));
  copyShared(shared, 1, Buffer.alloc(0));
  t.same([...shared], [0, 0, 0x61, 0x62, 0x63, 0, 0, 0]);
  const own = Buffer.alloc(4, 1);
  copyShared(own, 1, shared.subarray(3, 5));
  t.same([...own], [1, 0x62, 0x63, 1]);
});
