import fs from 'node:fs';
import t from 'tap';
import type { BlobPart, ChunkPart, EntryPart } from '../../../lib/model/parts.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';
import { stargzToc } from '../../../streams/reference/stargz-toc.js';
import { layerPath } from '../../support/tar/layers.js';
import { collect, cutAt } from '../../support/stream/stage.js';

type Out = EntryPart | ChunkPart<PlacedChunk> | BlobPart;

const OPTIONS = { chunkSize: 0x400000, blobSize: 0xe916e, explicitUidGid: true, blobId: 'layer' };
const digestOf = (n: number): string => `sha256:${String(n).padStart(64, '0')}`;
const reg = (name: string, size: number, offset: number, digest = offset) => ({
  ...{ name, type: 'reg', size, offset },
  ...{ digest: digestOf(digest), chunkDigest: digestOf(digest) },
});
const tocOf = (entries: readonly object[]): Buffer =>
  Buffer.from(JSON.stringify({ version: 1, entries }));

const make = async (toc: Buffer, cuts: number[] = [], more = {}): Promise<Out[]> =>
  collect(await stargzToc({ ...OPTIONS, ...more }), cutAt(toc, cuts));

t.test('chunks lie one after another, in the order of the table', async t => {
  const toc = tocOf([
    reg('b', 5000, 10),
    reg('a', 1, 5000),
    reg('c', 5000, 9000, 10),
    reg('d', 0, 0),
  ]);
  for (const lowerCount of [0, 7]) {
    const out = await make(toc, [1, 50, 51], { lowerCount });
    const chunks = out.flatMap(part => (part.kind === 'chunk' ? [part.chunk] : []));
    t.match(chunks[0], {
      index: 0,
      uniqueIndex: lowerCount,
      uncompressedOffset: 0,
      compressed: true,
    });
    t.match(chunks[1], { index: 1, uniqueIndex: lowerCount + 1, uncompressedOffset: 8192 });
    t.match(chunks[2], { known: true, uniqueIndex: lowerCount }, 'the third is the first again');
    t.notOk('index' in chunks[2]!);
    const { blob } = out.at(-1) as BlobPart; // it ends with it
    t.match(blob, {
      id: 'layer',
      chunkCount: 2,
      compressor: 2,
      digester: 1,
      features: 0x4000_0001,
      uncompressedSize: 8192 + 4096,
      compressedSize: 5000 + 1 + 151,
      ciUncompressedSize: 2 * 16,
      metaSize: 0,
    });
  }
});

t.test('the table of a layer', async t => {
  const out = await make(fs.readFileSync(layerPath('stargz.index.json')), [1000, 2000]);
  const { blob } = out.at(-1) as BlobPart; // it ends with it
  t.match(blob, { chunkCount: 60 });
  t.ok(blob!.compressedSize <= OPTIONS.blobSize);
  t.equal(out.filter(({ kind }) => kind === 'entry').length, 62);
});

t.test('no chunks, no blob; what is left out is said', async t => {
  const warnings: string[] = [];
  const toc = tocOf([reg('a', 0, 0), { name: 'p', type: 'fifo' }]);
  const out = await make(toc, [], { warn: (text: string) => warnings.push(text) });
  t.match(out.at(-1), { kind: 'blob', blob: undefined });
  t.match(warnings, [/unsupported \/p with type fifo/]);
});

t.test('what is no table fails, with the place', async t => {
  await t.rejects(make(Buffer.from('garbage')), { code: 'CORRUPT', at: { stage: 'stargz-toc' } });
  await t.rejects(make(Buffer.alloc(0)), { code: 'CORRUPT' });
  await t.rejects(make(tocOf([reg('a', 1, 0), reg('x', 1, 0)])), {
    code: 'CORRUPT',
    at: { path: 'a' },
  });
});
