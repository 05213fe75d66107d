/** hole-filler: holes become zeros, in pieces of any stream; everything else passes. */
import t from 'tap';
import { holeFiller } from '../../../streams/layer/hole-filler.js';
import type { TarPart } from '../../../lib/tar/reader.js';
import { collect } from '../../support/stream/stage.js';

const END: TarPart = { kind: 'end' };

const contentOf = (parts: readonly TarPart[]): Buffer =>
  Buffer.concat(parts.map(part => (part.kind === 'data' ? part.bytes : Buffer.alloc(0))));

t.test('holes are zeros of their size, whoever reads slowly', async t => {
  const data = Buffer.from('data');
  for (const size of [1, 0xffff, 0x10000, 0x10001, 0x50005]) {
    const parts: TarPart[] = [
      { kind: 'data', bytes: data },
      { kind: 'hole', size },
      { kind: 'data', bytes: data },
      END,
    ];
    for (const slow of [false, true]) {
      const made = await collect<TarPart, TarPart>(holeFiller(), parts, { slow });
      t.ok(contentOf(made).equals(Buffer.concat([data, Buffer.alloc(size), data])), `${size}`);
      t.same(made.at(-1), END);
      t.notOk(made.some(part => part.kind === 'hole'));
    }
  }
});
