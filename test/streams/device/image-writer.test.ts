import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import t from 'tap';
import type { DiskPart } from '../../../streams/device/block-image.js';
import { ImageWriter } from '../../../streams/device/image-writer.js';
import { openOutput } from '../../../streams/io/open-output.js';
import { makeFifo, shell, temporaryDirectory } from '../../support/process/fs.js';

const write = async (target: string, parts: readonly DiskPart[], batch: number): Promise<void> => {
  const output = await openOutput(target);
  const batches: DiskPart[][] = [];
  for (let i = 0; i < parts.length; i += batch) batches.push(parts.slice(i, i + batch));
  await pipeline(Readable.from(batches), new ImageWriter(output));
  await output.finish();
};

const joined = (parts: readonly DiskPart[]): Buffer =>
  Buffer.concat(parts.map(part => (part.kind === 'bytes' ? part.bytes : Buffer.alloc(part.size))));

t.test('holes change no byte, in a file and in a pipe', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'image');
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  const part = fc.oneof(
    fc.integer({ min: 1, max: 300_000 }).map((size): DiskPart => ({ kind: 'hole', size })),
    fc
      .tuple(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 0, max: 2 }))
      .map(([size, fill]): DiskPart => ({ kind: 'bytes', bytes: Buffer.alloc(size, fill) })),
    fc
      .array(fc.tuple(fc.nat(100_000), fc.boolean()), { minLength: 1, maxLength: 6 })
      .map((runs): DiskPart => {
        const bytes = Buffer.concat(runs.map(([size, zero]) => Buffer.alloc(size, zero ? 0 : 3)));
        return { kind: 'bytes', bytes };
      }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { maxLength: 8 }),
      fc.integer({ min: 1, max: 4 }),
      async (parts, batch) => {
        const due = joined(parts);
        await write(file, parts, batch);
        t.ok(fs.readFileSync(file).equals(due), 'file');
        const reader = shell('cat "$1"', fifo);
        await write(fifo, parts, batch);
        t.ok((await reader).equals(due), 'pipe');
      },
    ),
    { numRuns: 40 },
  );
});

t.test('runs of zeros take no room, also at the end', async t => {
  const file = path.join(temporaryDirectory(t), 'image');
  const some = Buffer.alloc(0x1000, 1);
  await write(
    file,
    [
      { kind: 'bytes', bytes: some },
      { kind: 'hole', size: 0x800000 - some.length },
      { kind: 'bytes', bytes: Buffer.concat([Buffer.alloc(0x800000), some]) },
      { kind: 'hole', size: 0x800000 - some.length },
    ],
    2,
  );
  const { size, blocks } = fs.statSync(file);
  t.equal(size, 0x1800000);
  t.ok(blocks * 512 < 0x100000, `${blocks * 512} bytes of room`);
});

t.test('a longer file that was there leaves nothing behind', async t => {
  const file = path.join(temporaryDirectory(t), 'image');
  fs.writeFileSync(file, Buffer.alloc(100_000, 9));
  await write(file, [{ kind: 'bytes', bytes: Buffer.alloc(10, 1) }], 1);
  t.ok(fs.readFileSync(file).equals(Buffer.alloc(10, 1)));
});
