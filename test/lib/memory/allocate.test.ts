import v8 from 'node:v8';
import vm from 'node:vm';
import t from 'tap';
import { allocate, collectEvery, copyOf } from '../../../lib/memory/allocate.js';

t.test('a copy has memory of its own', t => {
  const bytes = Buffer.from('abc');
  const copy = copyOf(bytes);
  bytes[0] = 0;
  t.equal(copy.toString(), 'abc');
  t.equal(copy.buffer.byteLength, 3);
  t.equal(copyOf(Buffer.alloc(0)).length, 0);
  t.end();
});

t.test('dead buffers are collected in time', t => {
  v8.setFlagsFromString('--expose-gc');
  collectEvery(0x800000, vm.runInNewContext('gc') as () => void);
  let peak = 0;
  for (let i = 0; i < 1000; i++) {
    allocate(0x40000).fill(1);
    peak = Math.max(peak, process.memoryUsage().arrayBuffers);
  }
  t.ok(peak < 0x2000000, `${peak} bytes of ${1000 * 0x40000} at once`);
  t.end();
});
