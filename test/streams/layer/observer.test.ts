import t from 'tap';
import type { BytesPart } from '../../../lib/model/parts.js';
import { observer } from '../../../streams/layer/observer.js';
import { randomBytes } from '../../support/random.js';
import { collect, cutAt } from '../../support/stream/stage.js';

t.test('a witness sees all bytes in order, and they pass unchanged', async t => {
  const bytes = randomBytes(10_000, 1);
  for (const options of [{}, { slow: true }, { batch: 5 }]) {
    const seen: Buffer[] = [];
    const parts = cutAt(bytes, [0, 1, 700, 4096]);
    const stage = observer(piece => seen.push(Buffer.from(piece)));
    t.same(await collect<BytesPart, BytesPart>(stage, parts, options), parts);
    t.ok(Buffer.concat(seen).equals(bytes));
  }
});

t.test('what a witness throws ends the stream', async t => {
  const stage = observer(() => {
    throw new Error('not what is due');
  });
  await t.rejects(collect(stage, cutAt(Buffer.alloc(9), [])), { message: 'not what is due' });
});
