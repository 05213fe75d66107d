/** Random layers and what an image of them must say; the images themselves by planV6 and emitV6. */
import fc from 'fast-check';
import { planV6, type PlanOptions, type PlanV6 } from '../../../lib/bootstrap/v6/plan.js';
import { ChunkTable } from '../../../lib/chunk/chunk-table.js';
import type { BlobInfo } from '../../../lib/model/blob.js';
import type { PlacedChunk } from '../../../lib/model/chunk.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';
import { Tree } from '../../../lib/tree/tree.js';
import { blobInfo, placedChunk } from './chunks.js';
import { ModelTree, type ModelNode } from '../model/model-tree.js';

export interface ImageCase {
  tree: Tree;
  model: ModelTree;
  chunks: ChunkTable;
  /** the chunks by their row in the table; the content of a node in the model lists them too */
  placed: PlacedChunk[];
  blobs: BlobInfo[];
  options: PlanOptions;
}

export interface ImageOptions {
  chunkSize?: number;
  tarfs?: boolean;
  prefetch?: readonly string[];
  /** of the n-th chunk of the image, which earlier one it is, or undefined for a new one */
  repeats?: (n: number) => number | undefined;
  blobCount?: number;
}

const FLAGS = 0x0100_0019; // no compression, sha256, explicit owners, no encryption

/** A tree, its model and its chunks, of entries in their order; refused entries are left out. */
export const imageOf = (
  entries: Iterable<Entry>,
  {
    chunkSize = 0x1000,
    tarfs = false,
    prefetch = [],
    repeats = () => undefined,
    blobCount = 1,
  }: ImageOptions = {},
): ImageCase => {
  const tree = new Tree();
  const model = new ModelTree();
  const chunks = new ChunkTable();
  const placed: PlacedChunk[] = [];
  const ends = Array.from({ length: blobCount }, () => 0);
  const counts = Array.from({ length: blobCount }, () => 0);
  let met = 0;

  const chunkOf = (size: number): number => {
    const earlier = repeats(met++);
    if (earlier !== undefined && placed[earlier]?.uncompressedSize === size) return earlier;
    const n = placed.length;
    const blobIndex = n % blobCount;
    const chunk = placedChunk(n, {
      blobIndex,
      index: counts[blobIndex]!++,
      uncompressedSize: size,
      compressedSize: size,
      compressedOffset: ends[blobIndex]!,
      uncompressedOffset: ends[blobIndex]!,
    });
    ends[blobIndex]! += Math.ceil(size / 4096) * 4096;
    placed.push(chunk);
    return chunks.add(chunk);
  };

  for (const entry of entries) {
    const node = model.insert(entry);
    if (typeof node === 'string') continue;
    const row = tree.insert(entry);
    if (entry.type !== 'file') continue;
    const first = chunks.lists.length;
    for (let offset = 0; offset < entry.size; offset += chunkSize) {
      const chunk = chunkOf(Math.min(chunkSize, entry.size - offset));
      chunks.lists.push(chunk);
      node.content.chunks.push(chunk);
    }
    tree.setChunks(row, first, chunks.lists.length - first);
  }
  tree.settleHardlinks();
  const blobs = ends.map((end, i) =>
    blobInfo({
      id: String(i).padStart(64, 'b'),
      chunkSize,
      chunkCount: counts[i]!,
      uncompressedSize: end,
      compressedSize: end,
    }),
  );
  return {
    tree,
    model,
    chunks,
    placed,
    blobs: placed.length > 0 ? blobs : [],
    options: { chunkSize, flags: FLAGS, tarfs, prefetch },
  };
};

export const planOf = ({ tree, chunks, blobs, options }: ImageCase): PlanV6 =>
  planV6(tree, chunks, blobs, options);

/** Nodes in the order in which nydus-image walks: a directory's children, then each directory in it. */
export function* walkOrder(node: ModelNode, path = ''): Iterable<[path: string, node: ModelNode]> {
  if (node.parent === undefined) yield ['', node];
  const children = [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const pathOf = (child: ModelNode): string => (path === '' ? child.name : `${path}/${child.name}`);
  for (const child of children) yield [pathOf(child), child];
  for (const child of children) {
    if (child.type === 'directory') yield* walkOrder(child, pathOf(child));
  }
}

const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(
      fc.integer({ min: 1, max: 255 }).filter(byte => byte !== 0x2f),
      { minLength: 1, maxLength, size: 'max' },
    )
    .map(codes => String.fromCharCode(...codes));

const name = fc
  .oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'lib', '!x', '-y', '.-', '...') },
    { weight: 1, arbitrary: bytes(255) },
  )
  .filter(name => name !== '.' && name !== '..');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map(names => names.join('/'));
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const xattrs = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        'user.a',
        'user.b',
        'security.capability',
        'system.posix_acl_access',
        'trusted.x',
      ),
      fc.oneof(
        fc.uint8Array({ maxLength: 30, size: 'max' }),
        fc.constantFrom(0, 1, 3000, 4000, 5000).map(size => new Uint8Array(size).fill(7)),
      ),
    ),
    { maxLength: 4 },
  )
  .map(pairs => new Map(pairs.map(([name, value]) => [name, Buffer.from(value)])));

/** Entries of a random layer: repeated paths, changed types, names of one file, xattrs. */
export const randomEntries = (maxLength = 60): fc.Arbitrary<Entry[]> =>
  fc.array(
    fc
      .record({
        path: fc.oneof({ weight: 20, arbitrary: path }, { weight: 1, arbitrary: fc.constant('') }),
        type: fc.constantFrom<EntryType>(
          'file',
          'file',
          'file',
          'directory',
          'directory',
          'symlink',
          'hardlink',
          'hardlink',
          'char',
          'fifo',
          'block',
          'socket',
        ),
        target: fc.oneof(
          path,
          fc.constantFrom(1, 500, 3000, 4031, 4032, 4033, 4095).map(n => 't'.repeat(n)),
        ),
        mode: fc.nat(0o7777),
        uid: u32,
        gid: u32,
        mtime: fc.oneof(fc.nat(2 ** 31 - 1), fc.maxSafeNat()),
        mtimeNsec: fc.nat(999_999_999),
        rdev: u32,
        size: fc.oneof(
          fc.nat(20_000),
          fc.constantFrom(0, 1, 4095, 4096, 4097, 8192, 0x10000, 0x100000, 3_000_000),
        ),
        xattrs: fc.option(xattrs, { nil: undefined, freq: 3 }),
      })
      .map(({ target, size, xattrs, ...entry }): Entry => ({
        ...entry,
        size: entry.type === 'file' ? size : 0,
        ...(entry.type === 'symlink' || entry.type === 'hardlink' ? { target } : {}),
        ...(xattrs && entry.type !== 'hardlink' ? { xattrs } : {}),
      })),
    { maxLength, size: 'max' },
  );
