/**
 * bootstrap-finalizer: entries and placed chunks to the bootstrap.
 *
 * takes entry, chunk, end, external and blob; makes section, finish and image; passes section and
 *   finish
 * holds the tree and the chunk table: about 100 bytes per inode and 80 per chunk, of the layer and
 *   of the image below it
 *
 * The bootstrap can only be written when all is known. It is planned then, and emitted front to
 * back: to a file of its own, or into the blob before the blob's table of contents.
 */
import { createHash } from 'node:crypto';
import { allocate } from '../lib/allocate.js';
import { BlobFile } from '../lib/blob-file.js';
import { BlobTable } from '../lib/blob-table.js';
import { sizeDirectories } from '../lib/bootstrap-v5.js';
import type { ChunkDict } from '../lib/chunk-dict.js';
import { ChunkTable } from '../lib/chunk-table.js';
import { compressBound, compressInto } from '../lib/compress.js';
import {
  planBootstrap,
  type BootstrapOptions,
  type PlannedBootstrap,
} from '../lib/emit-bootstrap.js';
import { Section } from '../lib/layout/blob.js';
import { externalImage } from '../lib/external-image.js';
import type { LowerImage } from '../lib/load-tree.js';
import { layOver } from '../lib/overlay.js';
import type {
  BlobInfo,
  BlobPart,
  ChunkPart,
  EndPart,
  Entry,
  EntryPart,
  ExternalPart,
  FinishPart,
  ImagePart,
  NamedChunk,
  PlacedChunk,
  SectionPart,
} from '../lib/parts.js';
import { Tree, type InodeFacts } from '../lib/tree.js';
import type { WhiteoutSpec } from '../lib/whiteout.js';
import { Stage } from './stage.js';

export interface FinalizerOptions extends Omit<BootstrapOptions, 'fsVersion' | 'hasXattrs'> {
  /** 6 unless given */
  fsVersion?: 5 | 6;
  inlineMeta: boolean;
  blobToc: boolean;
  /** also make the bootstrap of external files that every build of a directory has */
  external?: boolean;
  /** the image that the layer is laid over, by these rules; its tree and tables become the result's */
  lower?: LowerImage | undefined;
  whiteoutSpec?: WhiteoutSpec;
  /** where chunks with a `dictRow` are from */
  dict?: ChunkDict | undefined;
}

type In =
  | EntryPart
  | ChunkPart<PlacedChunk>
  | ChunkPart<NamedChunk>
  | EndPart
  | ExternalPart
  | SectionPart
  | FinishPart
  | BlobPart;
type Out = SectionPart | FinishPart | ImagePart;

export const bootstrapFinalizer = ({
  inlineMeta,
  blobToc,
  external = false,
  lower,
  whiteoutSpec = 'oci',
  dict,
  prefetch = [],
  ...options
}: FinalizerOptions) => {
  const tree = lower?.tree ?? new Tree();
  const chunks = lower?.chunks ?? new ChunkTable({ named: !options.tarfs });
  const blobs = lower?.blobs ?? new BlobTable();
  const root = lower ? tree.addRoot() : tree.root;
  const settled = { fsVersion: 6 as const, ...options };
  tree.marksHardlinks = !external;
  let row = 0;
  let entry: Entry | undefined;
  let firstChunk = 0;
  let entryCount = 0;
  const externals: ExternalPart[] = [];
  let ended: BlobPart | undefined;

  /** The row of a chunk in the table, whose rows are the ordinals. */
  const rowOf = (chunk: PlacedChunk | NamedChunk): number => {
    if ('index' in chunk) return chunks.add(chunk, blobs.ownIndex);
    if (chunk.dictRow === undefined) return chunk.ordinal;
    const { blobs: dictBlobs, chunks: dictChunks } = dict!; // who gives rows has it
    const blob = dictBlobs[dictChunks.blobIndex.get(chunk.dictRow)]!;
    return chunks.addFrom(dictChunks, chunk.dictRow, blobs.indexOf(blob));
  };

  /** @param layerRoot what the layer says of its root */
  const planExternal = (
    layerRoot: InodeFacts,
    hasXattrs: boolean,
  ): { plan: PlannedBootstrap; table: readonly BlobInfo[] } => {
    const image = externalImage(layerRoot, externals, { ...settled, lower, whiteoutSpec });
    const { chunkSize } = image;
    // that there are xattrs is said of both bootstraps
    const given = { ...settled, hasXattrs, chunkSize };
    return {
      plan: planBootstrap(image.tree, image.chunks, image.blobs, given),
      table: image.blobs,
    };
  };

  /** The bootstrap as a section of a blob, compressed where the blob has a TOC that says so. */
  function* inlined(file: BlobFile, plan: PlannedBootstrap): Generator<SectionPart, void> {
    const offset = file.position;
    if (!blobToc) {
      for (const bytes of plan.pieces) yield file.append(bytes);
      yield file.appendHeader(Section.BOOT, file.position - offset);
      return;
    }
    // one buffer each: it may have gigabytes, and zstd gives other bytes for a stream of pieces
    const plain = allocate(plan.size);
    let filled = 0;
    for (const bytes of plan.pieces) filled += bytes.copy(plain, filled);
    const out = Buffer.allocUnsafeSlow(compressBound(plain.length)); // most of it is never touched
    const packedSize = compressInto('zstd', plain, out, 0);
    const stored = packedSize > 0 ? out.subarray(0, packedSize) : plain;
    yield file.append(stored);
    yield file.appendHeader(Section.BOOT, stored.length);
    file.addToTable(Section.BOOT, offset, {
      compressor: packedSize > 0 ? 'zstd' : 'none',
      compressedSize: stored.length,
      uncompressedSize: plain.length,
      uncompressedDigest: createHash('sha256').update(plain).digest(),
    });
    yield file.tableOfContents().part;
  }

  return new Stage<In, Out>('bootstrap-finalizer', {
    each(part, push) {
      switch (part.kind) {
        case 'entry':
          entry = part.entry;
          entryCount++;
          firstChunk = chunks.lists.length;
          row = tree.insert(entry);
          if (!options.explicitUidGid) tree.uid.data[row] = tree.gid.data[row] = 0;
          break;
        case 'chunk':
          chunks.lists.push(rowOf(part.chunk));
          break;
        case 'end':
          if (entry!.type === 'file') {
            tree.setChunks(row, firstChunk, chunks.lists.length - firstChunk);
          }
          break;
        case 'external':
          externals.push(part);
          break;
        case 'blob':
          ended = part;
          break;
        case 'section':
        case 'finish':
          push(part);
      }
    },
    async *end() {
      const { blob, file, layer, lateId } = ended!;
      const table = blobs.finish(blob, chunks);
      sizeDirectories(tree); // v5 has them as they are in this layer, v6 as they will be
      const layerRoot = tree.facts(root);
      if (lower) layOver(tree, 0, root, whiteoutSpec);
      const plan = planBootstrap(tree, chunks, table, { ...settled, prefetch });
      if (blob && lateId) plan.pieces = await withLateId(plan, blob, lateId);
      const ids = table.map(({ id }) => id);
      let blobSize = table.at(-1)?.compressedSize ?? 0;
      const other = external ? planExternal(layerRoot, plan.hasXattrs) : undefined;
      if (inlineMeta) {
        yield* inlined(file, plan);
        const id = file.digest().toString('hex');
        yield { kind: 'finish', artifact: 'blob', name: id };
        // one that has nothing but a bootstrap is no blob of its own table
        if (blob) ids[blobs.ownIndex] = layer?.id ?? id;
        else {
          ids.push(layer?.id ?? id);
          blobSize = layer?.size ?? file.position;
        }
        if (other) {
          const otherFile = new BlobFile('external-blob');
          yield* inlined(otherFile, other.plan);
          const name = otherFile.digest().toString('hex');
          yield { kind: 'finish', artifact: 'external-blob', name };
        }
      } else {
        // a file beside a layer has a name of its own; no name: nothing was new
        const fileName = layer ? blob?.metaDigest.toString('hex') : blob?.id;
        yield { kind: 'finish', artifact: 'blob', name: fileName };
        const name = yield* separateBootstrap('bootstrap', plan.pieces);
        if (other) yield* separateBootstrap('external', other.plan.pieces, `${name}.external`);
      }
      const externalBlobs = other?.table.map(({ id }) => id) ?? [];
      yield { kind: 'image', image: { blobs: ids, externalBlobs, blobSize, entryCount } };
    },
  });
};

/** Of a bootstrap, while its head is waited for: that of a layer with half a million files. */
const HELD_SIZE = 0x4000000;

/** Makes the bytes behind the head while the blob's id is still being made; then it is in `blob`. */
const withLateId = async (
  { split }: PlannedBootstrap,
  blob: BlobInfo,
  lateId: Promise<string>,
): Promise<Iterable<Buffer>> => {
  const { head, rest } = split!; // only a v6 build gives its blob a late id
  const pieces = rest[Symbol.iterator]();
  const held: Buffer[] = [];
  let size = 0;
  for (; size < HELD_SIZE; size += held.at(-1)!.length) {
    const next = pieces.next();
    if (next.done) break;
    held.push(next.value);
  }
  blob.id = await lateId;
  return (function* () {
    yield head();
    yield* held;
    yield* { [Symbol.iterator]: () => pieces };
  })();
};

/** A bootstrap in a file of its own; its name in a directory is its sha256 unless given. */
export function* separateBootstrap(
  artifact: 'bootstrap' | 'external',
  pieces: Iterable<Buffer>,
  name?: string,
): Generator<SectionPart | FinishPart, string> {
  const hash = createHash('sha256');
  for (const bytes of pieces) {
    hash.update(bytes);
    yield { kind: 'section', artifact, bytes };
  }
  const named = name ?? hash.digest('hex');
  yield { kind: 'finish', artifact, name: named };
  return named;
}
