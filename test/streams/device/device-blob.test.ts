import t from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { ChunkLookup } from '../../../streams/device/chunk-lookup.js';
import { SharedChunks } from '../../../streams/device/device-blob.js';
import { golden } from '../../support/images/golden.js';

const shared = (cacheSize: number): SharedChunks => {
  const image = golden('tar-rafs.kinds.zstd.v6');
  return new SharedChunks(new ChunkLookup(image, parseBootstrap(image)), cacheSize);
};

t.test('a chunk is loaded once for all who want it, and kept', async t => {
  const chunks = shared(0x10000);
  let loads = 0;
  const load = async (): Promise<Buffer> => {
    loads++;
    await new Promise(setImmediate);
    return Buffer.from('content');
  };
  const all = await Promise.all([1, 2, 3].map(() => chunks.chunk(0, 5, load)));
  t.same(all.map(String), Array(3).fill('content'));
  t.equal((await chunks.chunk(0, 5, load)).toString(), 'content');
  t.equal(loads, 1);
  await chunks.chunk(1, 5, load);
  t.equal(loads, 2, 'of another blob it is another chunk');
});

t.test("a failure is everybody's, and the next one tries again", async t => {
  const chunks = shared(0x10000);
  const bad = (): Promise<Buffer> => Promise.reject(new Error('gone'));
  const first = chunks.chunk(0, 1, bad);
  const second = chunks.chunk(0, 1, bad);
  await t.rejects(first, { message: 'gone' });
  await t.rejects(second, { message: 'gone' });
  t.equal((await chunks.chunk(0, 1, async () => Buffer.from('back'))).toString(), 'back');
});

t.test('what is kept is bounded', async t => {
  const chunks = shared(0x1000);
  let loads = 0;
  const load = async (): Promise<Buffer> => {
    loads++;
    return Buffer.alloc(0x600);
  };
  for (const index of [0, 1, 2, 0, 1, 2]) await chunks.chunk(0, index, load);
  t.equal(loads, 6, 'two of three fit, and the oldest went');
  await chunks.chunk(0, 2, load);
  t.equal(loads, 6);
});
