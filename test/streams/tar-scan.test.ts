import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { EndPart, EntryPart, LayerPart } from '../../lib/parts.js';
import type { Batch } from '../../streams/stage.js';
import { tarDemux } from '../../streams/tar-demux.js';
import type { TarScan } from '../../streams/tar-scan.js';
import { openTarScan } from '../../streams/tar-scan.js';
import { makeFifo, openBelow, temporaryDirectory } from '../support/fs.js';
import { layerTar } from '../support/layers.js';
import { collect, cutAt } from '../support/stage.js';
import { tarOf, type TarEntry } from '../support/tar.js';

type Out = EntryPart | EndPart | LayerPart;

const scanOf = (t: Test, tar: Buffer): TarScan => {
  const file = path.join(temporaryDirectory(t), 'tar');
  fs.writeFileSync(file, tar);
  return openTarScan(file)!;
};

const partsOf = async (scan: TarScan): Promise<Out[]> => {
  const parts: Out[] = [];
  for await (const batch of scan as AsyncIterable<Batch<Out>>) parts.push(...batch);
  return parts;
};

/** What a demux of the whole tar says, less the content. */
const demuxed = async (tar: Buffer): Promise<Out[]> => {
  const parts = await collect<unknown, Out>(tarDemux(), cutAt(tar, []));
  return parts.filter(({ kind }) => (kind as string) !== 'data');
};

t.test('a scan finds what reading the whole tar finds', async t => {
  for (const name of ['kinds', 'loose', 'names', 'sizes', 'xattrs']) {
    const tar = layerTar(name);
    const parts = await partsOf(scanOf(t, tar));
    t.same(parts.pop(), { kind: 'layer', size: tar.length, digest: undefined });
    t.same(parts, await demuxed(tar), name);
  }
});

t.test('files of any size, so that headers lie anywhere in a read', async t => {
  const sizes = fc.oneof(
    fc.nat(2000),
    fc.nat(100_000),
    fc.constantFrom(0, 512, 16384 - 512, 16384),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(sizes, { maxLength: 30 }), async sizes => {
      const entries = sizes.map((size, i): TarEntry => {
        const pax: [string, string][] = [['path', `${'long'.repeat(40)}${i}`]];
        return { name: `f${i}`, content: Buffer.alloc(size, 1), ...(i % 3 === 0 ? { pax } : {}) };
      });
      const tar = tarOf(entries);
      const parts = await partsOf(scanOf(t, tar));
      parts.pop();
      t.same(parts, await demuxed(tar));
    }),
    { numRuns: 25 },
  );
});

t.test('content is passed over', async t => {
  const tar = tarOf([{ name: 'a', content: Buffer.alloc(10_000_000, 7) }, { name: 'b' }]);
  const file = path.join(temporaryDirectory(t), 'tar');
  fs.writeFileSync(file, tar);
  const read = fs.readSync;
  let count = 0;
  fs.readSync = ((...given: Parameters<typeof read>) => {
    const got = read(...given);
    count += got;
    return got;
  }) as typeof read; // one of its signatures is what is called
  t.teardown(() => (fs.readSync = read));
  const parts = await partsOf(openTarScan(file)!);
  t.equal(parts.filter(({ kind }) => kind === 'entry').length, 2);
  t.ok(count > 0 && count < 100_000, `${count} bytes read`);
});

t.test('nothing at all is an empty layer; zeros are one too', async t => {
  t.same(await partsOf(scanOf(t, Buffer.alloc(0))), [
    { kind: 'layer', size: 0, digest: undefined },
  ]);
  t.equal((await partsOf(scanOf(t, Buffer.alloc(10240)))).length, 1);
});

t.test('a tar that is cut anywhere is refused, where it does not end between entries', async t => {
  const tar = tarOf([
    { name: 'a', content: Buffer.alloc(40_000, 1) },
    { name: 'b', content: 'b' },
  ]);
  const whole = new Set([0, 512 + 40448, 512 + 40448 + 1024]);
  for (const end of [1, 511, 512, 513, 20_000, 512 + 40_000, 40959, 40960, 40961, 41471, 41472]) {
    const scan = scanOf(t, tar.subarray(0, end));
    if (whole.has(end)) t.equal((await partsOf(scan)).at(-1)?.kind, 'layer', `${end} bytes`);
    else await t.rejects(partsOf(scan), { code: 'CORRUPT' }, `${end} bytes`);
    t.ok(scan.closed || scan.destroyed);
  }
});

t.test('a tar that becomes shorter meanwhile is refused', async t => {
  const file = path.join(temporaryDirectory(t), 'tar');
  fs.writeFileSync(file, tarOf([{ name: 'a', content: Buffer.alloc(100_000, 1) }, { name: 'b' }]));
  const scan = openTarScan(file)!;
  fs.truncateSync(file, 50_000);
  await t.rejects(partsOf(scan), { code: 'CORRUPT', message: /shorter/ });
});

t.test('only regular files; descriptors are given back', async t => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  t.equal(openTarScan(fifo), undefined);
  t.throws(() => openTarScan(path.join(directory, 'none')), { code: 'ENOENT' });
  const file = path.join(directory, 'tar');
  fs.writeFileSync(file, tarOf([{ name: 'a' }]));
  const scan = openTarScan(file)!;
  t.equal(scan.peek(3).toString('latin1'), 'a\0\0');
  await partsOf(scan);
  t.equal(scan.bytesRead, scan.size);
  const other = openTarScan(file)!;
  other.destroy();
  await new Promise(resolve => other.once('close', resolve));
  t.same(openBelow(directory), []);
});
