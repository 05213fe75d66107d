import t from 'tap';
import { compressBound } from '../../../lib/compress/compressors.js';
import { SLAB_SIZE, SlabStock, stockOf } from '../../../streams/threads/slab-stock.js';

t.test('there is one stock for each size', async t => {
  t.equal(stockOf(0x3000), stockOf(0x3000));
  t.not(stockOf(0x3000), stockOf(0x4000));
});

t.test('large slabs are few, and without threads there is one', async t => {
  for (const [size, workers, due] of [
    [0x10000, 2, 8],
    [0x400000, 2, 6],
    [0x1000000, 2, 4],
    [0x10000, 0, 1],
  ] as const) {
    const stock = new SlabStock(size);
    stock.enter(workers);
    t.equal(stock.limit, due);
    stock.enter(workers);
    t.equal(stock.limit, due + 1, 'one for a further build');
  }
});

t.test('slabs are used again, and those of an unusual size given up at the end', async t => {
  for (const [size, dropped] of [
    [0x10000, 1],
    [SLAB_SIZE, 0],
  ] as const) {
    const stock = new SlabStock(size);
    stock.enter(1);
    stock.enter(1);
    const slab = stock.take(0)!;
    t.equal(slab.plain.byteLength, size);
    t.equal(slab.packed.byteLength, compressBound(size));
    stock.free(slab);
    t.equal(stock.take(0), slab);
    stock.free(slab);
    t.equal(stock.leave(1).length, 0, 'somebody else uses them');
    t.equal(stock.leave(1).length, dropped);
  }
});
