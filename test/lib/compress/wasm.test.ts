import t from 'tap';
import { instantiate } from '../../../lib/compress/wasm.js';

t.test('instances of a module have their own memory', async t => {
  const [one, two] = [instantiate('inflate'), instantiate('inflate')];
  const at = one.memory.buffer.byteLength - 1;
  Buffer.from(one.memory.buffer)[at] = 7;
  t.equal(Buffer.from(two.memory.buffer)[at], 0);
});

t.test('a module that was not built is a system error', async t => {
  t.throws(() => void instantiate('missing'), { code: 'ENOENT' });
});
