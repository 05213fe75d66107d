import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import type { BytesPart, LayerPart, SectionPart } from '../../../lib/model/parts.js';
import { tarfsHasher } from '../../../streams/reference/tarfs-hasher.js';
import { collect, cutAt } from '../../support/stream/stage.js';

type Out = BytesPart | SectionPart | LayerPart;

const run = (bytes: Buffer, options: { hashed: boolean; kept: boolean }, cuts: number[] = []) =>
  collect<BytesPart, Out>(tarfsHasher(options), cutAt(bytes, cuts));

t.test('bytes pass, and the layer part has their digest and size', async t => {
  for (const size of [0, 1, 0x100000, 0x100001, 0x900000 + 5]) {
    const bytes = randomBytes(size);
    const out = await run(bytes, { hashed: true, kept: false }, [1, 700, 0x100000, 0x123456]);
    const passed = out.flatMap(part => (part.kind === 'bytes' ? [part.bytes] : []));
    t.ok(Buffer.concat(passed).equals(bytes));
    t.notOk(out.some(part => part.kind === 'section'));
    t.same(out.at(-1), {
      kind: 'layer',
      size,
      digest: createHash('sha256').update(bytes).digest('hex'),
    });
  }
});

t.test('it is written as the blob where that is asked for, and digested only then', async t => {
  const bytes = randomBytes(5000);
  const out = await run(bytes, { hashed: false, kept: true }, [9, 1000]);
  const sections = out.flatMap(part => (part.kind === 'section' ? [part] : []));
  t.ok(sections.every(({ artifact }) => artifact === 'blob'));
  t.ok(Buffer.concat(sections.map(part => part.bytes)).equals(bytes));
  t.same(out.at(-1), { kind: 'layer', size: 5000, digest: undefined });
});
