import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { blockDigests, HashTree, planVerity } from '../../../lib/device/verity.js';
import type { DiskPart } from '../../../streams/device/block-image.js';
import { verityHasher, type VerityPart } from '../../../streams/device/verity-hasher.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { collect } from '../../support/stream/stage.js';

type Out = DiskPart | VerityPart;

/** All bytes, holes as zeros; and the root. */
const joined = (parts: readonly Out[]) => ({
  image: Buffer.concat(
    parts.flatMap(part => {
      if (part.kind === 'bytes') return [part.bytes];
      return part.kind === 'hole' ? [Buffer.alloc(part.size)] : [];
    }),
  ),
  root: parts.flatMap(part => (part.kind === 'verity' ? [part.root] : [])),
});

/** Data with its tree, at once. */
const due = (data: Buffer, blockSize: number) => {
  const plan = planVerity(data.length, blockSize);
  const tree = new HashTree(plan);
  const pages = tree.add(blockDigests(data, blockSize));
  const { first, upper, root } = tree.end();
  const padding = Buffer.alloc(plan.hashOffset - data.length);
  return { plan, image: Buffer.concat([data, padding, ...upper, ...pages, ...first]), root };
};

t.test('the image passes, its tree follows, whatever the number of threads', async t => {
  const directory = temporaryDirectory(t);
  const runs = fc.array(
    fc.record({ blocks: fc.integer({ min: 1, max: 400 }), hole: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  await fc.assert(
    fc.asyncProperty(
      runs,
      fc.constantFrom(512, 4096),
      fc.array(fc.nat(), { maxLength: 6 }),
      async (runs, blockSize, cuts) => {
        const parts: DiskPart[] = [];
        const pieces: Buffer[] = [];
        for (const { blocks, hole } of runs) {
          const size = blocks * blockSize;
          const bytes = hole ? Buffer.alloc(size) : randomBytes(size);
          pieces.push(bytes);
          if (hole) {
            parts.push({ kind: 'hole', size });
            continue;
          }
          const places = [0, ...cuts.map(cut => cut % size).sort((a, b) => a - b), size];
          for (let i = 1; i < places.length; i++) {
            parts.push({ kind: 'bytes', bytes: bytes.subarray(places[i - 1], places[i]) });
          }
        }
        const { plan, image, root } = due(Buffer.concat(pieces), blockSize);
        for (const threads of [0, 1, 2, 5]) {
          const out = await collect<DiskPart, Out>(
            verityHasher({ plan, directory, threads }),
            parts,
          );
          const got = joined(out);
          t.same(got.root, [root]);
          t.ok(got.image.equals(image), `${threads} threads`);
        }
      },
    ),
    { numRuns: 10 },
  );
});

t.test('a tree that is too big for memory, and a gap of zeros', async t => {
  const size = 160 * 0x100000; // level 1 is over 16 MiB
  const plan = planVerity(2 * size, 512);
  const piece = randomBytes(0x100000);
  function* parts(): Iterable<DiskPart> {
    for (let at = 0; at < size; at += piece.length) yield { kind: 'bytes', bytes: piece };
    yield { kind: 'hole', size };
  }
  const directory = temporaryDirectory(t);
  const out = await collect<DiskPart, Out>(verityHasher({ plan, directory }), parts());
  const tree = new HashTree(plan);
  const pages: Buffer[] = [];
  const zeros = blockDigests(Buffer.alloc(piece.length), 512);
  const digests = blockDigests(piece, 512);
  for (let at = 0; at < size; at += piece.length) pages.push(...tree.add(digests));
  for (let at = 0; at < size; at += piece.length) pages.push(...tree.add(zeros));
  const { first, upper, root } = tree.end();
  const from = out.findIndex(part => part.kind === 'hole') + 1;
  const got = joined(out.slice(from));
  t.same(got.root, [root]);
  t.ok(got.image.equals(Buffer.concat([...upper, ...pages, ...first])));
});
