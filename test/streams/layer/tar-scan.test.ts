import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { EndPart, EntryPart, LayerPart } from '../../../lib/model/parts.js';
import { destroyAndWait } from '../../../streams/io/destroy.js';
import type { Batch } from '../../../streams/batch.js';
import { tarDemux } from '../../../streams/layer/tar-demux.js';
import type { TarScan } from '../../../streams/layer/tar-scan.js';
import { openTarScan } from '../../../streams/layer/tar-scan.js';
import { makeFifo, openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { layerTar } from '../../support/tar/layers.js';
import { collect, cutAt } from '../../support/stream/stage.js';
import { tarOf, type TarEntry } from '../../support/tar/tar.js';

type Out = EntryPart | EndPart | LayerPart;

const HEADERS = { hashed: false };

const scanOf = (t: Test, tar: Buffer): TarScan => {
  const file = path.join(temporaryDirectory(t), 'tar');
  fs.writeFileSync(file, tar);
  return openTarScan(file, HEADERS)!;
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

t.test('others have their turn while it reads, however fast its reader is', async t => {
  const scan = scanOf(t, tarOf(Array.from({ length: 5000 }, (_, i) => ({ name: `f${i}` }))));
  let batches = 0;
  let turns = 0;
  const takeTurns = (): void => {
    turns++;
    if (!scan.destroyed) setImmediate(takeTurns);
  };
  setImmediate(takeTurns);
  scan.on('data', () => batches++);
  await new Promise(resolve => scan.on('close', resolve));
  t.ok(batches > 15, `${batches} batches`);
  t.ok(turns >= batches, `${turns} turns`);
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
  const parts = await partsOf(openTarScan(file, HEADERS)!);
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
  // with whole entries, though the padding of the last may be missing
  const whole = new Set([512 + 40_000, 40959, 40960, 40961 - 1, 512 + 40448 + 1024]);
  for (const end of [1, 511, 512, 513, 20_000, 512 + 40_000, 40959, 40960, 40961, 41471, 41472]) {
    const scan = scanOf(t, tar.subarray(0, end));
    if (whole.has(end)) t.equal((await partsOf(scan)).at(-1)?.kind, 'layer', `${end} bytes`);
    else await t.rejects(partsOf(scan), { code: 'CORRUPT' }, `${end} bytes`);
    t.ok(scan.closed || scan.destroyed);
  }
});

t.test('a tar that changes meanwhile is refused', async t => {
  const file = path.join(temporaryDirectory(t), 'tar');
  const changes: [string, () => void][] = [
    ['shorter', () => fs.truncateSync(file, 50_000)],
    ['longer', () => fs.appendFileSync(file, Buffer.alloc(512))],
    ['other bytes', () => fs.writeFileSync(file, Buffer.alloc(1), { flag: 'r+' })],
  ];
  for (const [name, change] of changes) {
    fs.writeFileSync(file, tarOf([{ name: 'a', content: Buffer.alloc(100_000, 1) }]));
    fs.utimesSync(file, 1, 1);
    const scan = openTarScan(file, HEADERS)!;
    scan.peek(512); // it is open, and nothing else was read
    change();
    await t.rejects(partsOf(scan), { code: 'CORRUPT' }, name);
  }
});

t.test('the digest comes late, for a small tar and for one that needs a thread', async t => {
  for (const size of [0, 1000, 5_000_000]) {
    const directory = temporaryDirectory(t);
    const file = path.join(directory, 'tar');
    const tar = tarOf(size === 0 ? [] : [{ name: 'a', content: Buffer.alloc(size, 'content') }]);
    fs.writeFileSync(file, tar);
    const scan = openTarScan(file, { hashed: true })!;
    const closed = new Promise(resolve => scan.once('close', resolve));
    const layer = (await partsOf(scan)).at(-1);
    t.match(layer, { kind: 'layer', size: tar.length, digest: undefined });
    const late = layer?.kind === 'layer' ? await layer.pending : undefined;
    t.equal(late, createHash('sha256').update(tar).digest('hex'), `${size} bytes`);
    await closed;
    t.same(openBelow(directory), []);
  }
});

t.test('a tar that changes while it is hashed is refused', async t => {
  const file = path.join(temporaryDirectory(t), 'tar');
  fs.writeFileSync(file, tarOf([{ name: 'a', content: Buffer.alloc(30_000_000, 1) }]));
  fs.utimesSync(file, 1, 1);
  const scan = openTarScan(file, { hashed: true })!;
  const layer = (await partsOf(scan)).at(-1);
  fs.writeFileSync(file, 'other', { flag: 'r+' });
  const late = async (): Promise<void> => void (layer?.kind === 'layer' && (await layer.pending));
  await t.rejects(late, { code: 'CORRUPT' });
});

t.test('one that is destroyed stops hashing and gives its descriptor back', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'tar');
  fs.writeFileSync(file, tarOf([{ name: 'a', content: Buffer.alloc(30_000_000, 1) }]));
  const scan = openTarScan(file, { hashed: true })!;
  const layer = (await partsOf(scan)).at(-1);
  await destroyAndWait(scan);
  t.same(openBelow(directory), []);
  t.equal(layer?.kind, 'layer');
  // done before, or given up: either way it is over
  if (layer?.kind === 'layer') await layer.pending?.catch(() => undefined);
});

t.test('only regular files; descriptors are given back', async t => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  t.equal(openTarScan(fifo, HEADERS), undefined);
  t.throws(() => openTarScan(path.join(directory, 'none'), HEADERS), { code: 'ENOENT' });
  const file = path.join(directory, 'tar');
  fs.writeFileSync(file, tarOf([{ name: 'a' }]));
  const scan = openTarScan(file, HEADERS)!;
  t.equal(scan.peek(3).toString('latin1'), 'a\0\0');
  await partsOf(scan);
  t.equal(scan.bytesRead, scan.size);
  const other = openTarScan(file, HEADERS)!;
  other.destroy();
  await new Promise(resolve => other.once('close', resolve));
  t.same(openBelow(directory), []);
});
