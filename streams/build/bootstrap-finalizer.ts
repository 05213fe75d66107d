/**
 * bootstrap-finalizer: turns entries and placed chunks into the bootstrap.
 *
 * takes entry, chunk, end, external and blob; makes section, finish and image; passes section and
 *   finish
 * holds the tree and the chunk table: about 100 bytes per inode and 80 per chunk, of the layer and
 *   of the image below it
 *
 * The bootstrap can only be written once everything is known. It is then planned, and emitted front
 * to back: to a file of its own, or into the blob before the blob's table of contents.
 */
import type { RafsVersion } from '../../lib/model/version.js';
import { createHash } from 'node:crypto';
import { allocate } from '../../lib/memory/allocate.js';
import { BlobFile } from '../../lib/blob/blob-file.js';
import { BlobTable } from '../../lib/bootstrap/blob-table.js';
import { sizeDirectories } from '../../lib/bootstrap/v5/plan.js';
import type { ChunkDict } from '../../lib/image/chunk-dict.js';
import { ChunkTable } from '../../lib/chunk/chunk-table.js';
import { compressBound, compressInto } from '../../lib/compress/compressors.js';
import { planBootstrap } from '../../lib/bootstrap/plan.js';
import type { BootstrapOptions, PlannedBootstrap } from '../../lib/bootstrap/bootstrap-options.js';
import { Section } from '../../lib/layout/blob.js';
import { externalImage } from '../../lib/image/external-image.js';
import type { LoadedImage } from '../../lib/image/load-image.js';
import { applyLayer } from '../../lib/tree/overlay.js';
import type {
  BlobPart,
  ChunkPart,
  EndPart,
  EntryPart,
  ExternalPart,
  FinishPart,
  ImagePart,
  SectionPart,
} from '../../lib/model/parts.js';
import type { BlobInfo } from '../../lib/model/blob.js';
import type { NamedChunk, PlacedChunk } from '../../lib/model/chunk.js';
import type { Entry } from '../../lib/model/entry.js';
import type { InodeAttributes } from '../../lib/tree/inode-attributes.js';
import { Tree } from '../../lib/tree/tree.js';
import type { WhiteoutSpec } from '../../lib/layer/whiteout.js';
import { Stage } from '../stage.js';

export interface FinalizerOptions extends Omit<BootstrapOptions, 'fsVersion' | 'hasXattrs'> {
  /** the blob so far, to put the bootstrap into and to end; default: an empty one */
  file?: BlobFile;
  /** default: 6 */
  fsVersion?: RafsVersion;
  inlineMeta: boolean;
  blobToc: boolean;
  /** besides an inlined bootstrap, write it plain as an artifact of its own */
  copies?: boolean;
  /** also make the bootstrap of external files, which every build of a directory has */
  external?: boolean;
  /** the image that the layer is laid over; its tree and tables become those of the result */
  lower?: LoadedImage | undefined;
  whiteoutSpec?: WhiteoutSpec;
  /** the dictionary that chunks with a `dictRow` come from */
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
  file = new BlobFile(),
  inlineMeta,
  blobToc,
  external = false,
  copies = false,
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
  if (lower) tree.enter(root, 0);
  tree.marksHardlinks = !external;
  let row = 0;
  let entry: Entry | undefined;
  let firstChunk = 0;
  let entryCount = 0;
  const externals: ExternalPart[] = [];
  let ended: BlobPart | undefined;

  /** The row of a chunk in the chunk table: its unique index. */
  const rowOf = (chunk: PlacedChunk | NamedChunk): number => {
    if ('index' in chunk) return chunks.add(chunk, blobs.ownIndex);
    if (chunk.dictRow === undefined) return chunk.uniqueIndex;
    const { blobs: dictBlobs, chunks: dictChunks } = dict!; // given if chunks have rows in it
    const blob = dictBlobs[dictChunks.blobIndex.get(chunk.dictRow)]!;
    return chunks.addFrom(dictChunks, chunk.dictRow, blobs.indexOf(blob));
  };

  /** @param layerRoot what the layer says of its root */
  const planExternal = (
    layerRoot: InodeAttributes,
    hasXattrs: boolean,
  ): { plan: PlannedBootstrap; table: readonly BlobInfo[] } => {
    const image = externalImage(layerRoot, externals, { ...settled, lower, whiteoutSpec });
    const { chunkSize } = image;
    // if the bootstrap says that there are xattrs, that of external files does, too
    const given = { ...settled, hasXattrs, chunkSize };
    return {
      plan: planBootstrap(image.tree, image.chunks, image.blobs, given),
      table: image.blobs,
    };
  };

  /** The bootstrap as a section of a blob; compressed if the blob has a TOC to say so. */
  function* inlined(file: BlobFile, plan: PlannedBootstrap): Generator<SectionPart, void> {
    const offset = file.position;
    if (!blobToc) {
      for (const bytes of plan.pieces) {
        yield file.append(bytes);
        if (copies) yield { kind: 'section', artifact: 'bootstrap', bytes };
      }
      yield file.appendHeader(Section.BOOT, file.position - offset);
      return;
    }
    // one buffer each: there may be gigabytes, and zstd makes other bytes of a stream of pieces
    const plain = allocate(plan.size);
    let filled = 0;
    for (const bytes of plan.pieces) filled += bytes.copy(plain, filled);
    const out = Buffer.allocUnsafeSlow(compressBound(plain.length)); // most of it is never touched
    const packedSize = compressInto('zstd', plain, out, 0);
    if (copies) yield { kind: 'section', artifact: 'bootstrap', bytes: plain };
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
    transform(part, push) {
      switch (part.kind) {
        case 'entry':
          entry = part.entry;
          entryCount++;
          firstChunk = chunks.lists.length;
          if (!options.explicitUidGid) entry.uid = entry.gid = 0;
          row = tree.insert(entry);
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
    async *flush() {
      const { blob, layer, pendingId } = ended!;
      const table = blobs.finish(blob, chunks);
      tree.settleHardlinks();
      sizeDirectories(tree); // v5 sizes count only the names of this layer; v6 sizes are set later
      const layerRoot = tree.facts(root);
      if (lower) applyLayer(tree, 0, root, whiteoutSpec);
      const plan = planBootstrap(tree, chunks, table, { ...settled, prefetch });
      if (blob && pendingId) plan.pieces = await withPendingId(plan, blob, pendingId);
      const ids = table.map(({ id }) => id);
      let blobSize = table.at(-1)?.compressedSize ?? 0;
      const other = external ? planExternal(layerRoot, plan.hasXattrs) : undefined;
      if (inlineMeta) {
        yield* inlined(file, plan);
        const id = file.digest().toString('hex');
        yield { kind: 'finish', artifact: 'blob', name: id, secret: plan.secret };
        // a blob with nothing but a bootstrap is not in its own blob table
        if (blob) ids[blobs.ownIndex] = layer?.id ?? id;
        else {
          ids.push(layer?.id ?? id);
          blobSize = layer?.size ?? file.position;
        }
        if (other) {
          const otherFile = new BlobFile('external-blob');
          yield* inlined(otherFile, other.plan);
          const name = otherFile.digest().toString('hex');
          yield { kind: 'finish', artifact: 'external-blob', name, secret: other.plan.secret };
        }
      } else {
        // a blob beside a layer is named by its own digest; no name: there was nothing new
        const fileName = layer ? blob?.metaDigest.toString('hex') : blob?.id;
        yield { kind: 'finish', artifact: 'blob', name: fileName };
        const name = yield* separateBootstrap('bootstrap', plan);
        if (other) yield* separateBootstrap('external', other.plan, `${name}.external`);
      }
      const externalBlobs = other?.table.map(({ id }) => id) ?? [];
      yield { kind: 'image', image: { blobs: ids, externalBlobs, blobSize, entryCount } };
    },
  });
};

/** Most bytes to hold while the head waits for the id: enough for half a million files. */
const HELD_SIZE = 0x4000000;

/** Makes what follows the head while the blob's id is being computed; then sets it in `blob`. */
const withPendingId = async (
  { split }: PlannedBootstrap,
  blob: BlobInfo,
  pendingId: Promise<string>,
): Promise<Iterable<Buffer>> => {
  const { head, rest } = split!; // only a v6 build gives its blob a pending id
  const pieces = rest[Symbol.iterator]();
  const held: Buffer[] = [];
  let size = 0;
  for (; size < HELD_SIZE; size += held.at(-1)!.length) {
    const next = pieces.next();
    if (next.done) break;
    held.push(next.value);
  }
  blob.id = await pendingId;
  return (function* () {
    yield head();
    yield* held;
    yield* { [Symbol.iterator]: () => pieces };
  })();
};

/** A bootstrap in a file of its own; by default, its name in a directory is its sha256. */
export function* separateBootstrap(
  artifact: 'bootstrap' | 'external',
  { pieces, secret }: Pick<PlannedBootstrap, 'pieces' | 'secret'>,
  name?: string,
): Generator<SectionPart | FinishPart, string> {
  const hash = createHash('sha256');
  for (const bytes of pieces) {
    hash.update(bytes);
    yield { kind: 'section', artifact, bytes };
  }
  const named = name ?? hash.digest('hex');
  yield { kind: 'finish', artifact, name: named, secret };
  return named;
}
