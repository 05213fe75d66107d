import fc from 'fast-check';
import t from 'tap';
import type { ChunkPart, DataPart, EndPart, EntryPart } from '../../../lib/model/parts.js';
import { chunker } from '../../../streams/build/chunker.js';
import { entryOf, partsOf } from '../../support/images/entries.js';
import { collect, cutAt } from '../../support/stream/stage.js';

type In = EntryPart | DataPart | EndPart;
type Out = EntryPart | ChunkPart | EndPart;

/** A file whose content arrives in pieces. */
const fileOf = (path: string, content: Buffer, cuts: readonly number[]): In[] => [
  { kind: 'entry', entry: entryOf('file', path, { size: content.length }) },
  ...cutAt(content, cuts).map(({ bytes }): In => ({ kind: 'data', bytes })),
  { kind: 'end' },
];

const file = fc.record({
  content: fc.uint8Array({ maxLength: 5000, size: 'max' }).map(bytes => Buffer.from(bytes)),
  cuts: fc.array(fc.nat(5000), { maxLength: 9 }),
});

t.test('chunks do not depend on how the content arrives', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(file, { maxLength: 5 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      async (files, batch, slow) => {
        const parts = files.flatMap(({ content, cuts }, i) => fileOf(`f${i}`, content, cuts));
        const out = await collect<In, Out>(chunker({ chunkSize: 1024 }), parts, { batch, slow });
        const due: unknown[] = files.flatMap(({ content }, i) => [
          ['entry', `f${i}`],
          ...Array.from({ length: Math.ceil(content.length / 1024) }, (_, c) => [
            'chunk',
            1024 * c,
            Math.min(1024, content.length - 1024 * c),
            content.subarray(1024 * c, 1024 * (c + 1)).toString('hex'),
          ]),
          ['end'],
        ]);
        t.same(
          out.map(part => {
            if (part.kind === 'entry') return ['entry', part.entry.path];
            if (part.kind === 'end') return ['end'];
            const { fileOffset, uncompressedSize } = part.chunk;
            return ['chunk', fileOffset, uncompressedSize, part.bytes.toString('hex')];
          }),
          due,
        );
      },
    ),
  );
});

t.test('entries without content pass', async t => {
  const parts = [
    ...partsOf('directory', ''),
    ...partsOf('symlink', 's', { target: 'x' }),
    ...partsOf('file', 'empty'),
  ];
  t.same(await collect(chunker({ chunkSize: 4096 }), parts), parts);
});

t.test('content that is shorter or longer than its entry says', async t => {
  for (const [size, got] of [
    [10, 9],
    [10, 0],
    [10, 11],
    [0, 1],
    [4096, 4097],
    [8192, 4096],
    [4096, 12288],
  ] as const) {
    const parts: In[] = [
      { kind: 'entry', entry: entryOf('file', 'usr/lib/x.so', { size }) },
      { kind: 'data', bytes: Buffer.alloc(got) },
      { kind: 'end' },
    ];
    await t.rejects(collect(chunker({ chunkSize: 4096 }), parts), {
      name: 'RafsError',
      code: 'CORRUPT',
      message: `expected ${size} bytes, got ${got}`,
      at: { stage: 'chunker', path: 'usr/lib/x.so' },
    });
  }
});

t.test('it holds no more than a chunk and the piece under way', async t => {
  // an endless file: what went in without coming out stays within a chunk, two batches and a piece
  const stage = chunker({ chunkSize: 0x10000 });
  let into = 0;
  let outOf = 0;
  stage.on('data', (batch: Out[]) => {
    for (const part of batch) if (part.kind === 'chunk') outOf += part.bytes.length;
  });
  stage.write([{ kind: 'entry', entry: entryOf('file', 'f', { size: 2 ** 40 }) }]);
  for (let i = 0; i < 500; i++) {
    await new Promise<void>(resolve => {
      stage.write([{ kind: 'data', bytes: Buffer.alloc(10_000) }], () => resolve());
    });
    into += 10_000;
    if (into - outOf > 0x10000 + 10_000) t.fail(`${into - outOf} bytes are held`);
  }
  t.ok(outOf > 4_900_000);
  stage.destroy();
});
