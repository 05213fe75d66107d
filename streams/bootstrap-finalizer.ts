/**
 * bootstrap-finalizer: entries and placed chunks to the bootstrap.
 *
 * takes entry, chunk, end and blob; makes section, finish and image; passes section and finish
 * holds the tree and the chunk table: about 100 bytes per inode and 80 per chunk
 *
 * The bootstrap can only be written when all is known. It is planned then, and emitted front to
 * back: to a file of its own, or into the blob before the blob's table of contents.
 */
import { createHash } from 'node:crypto';
import { BlobFile } from '../lib/blob-file.js';
import { planV6 } from '../lib/bootstrap-v6.js';
import { ChunkTable } from '../lib/chunk-table.js';
import { compress, type Compressor } from '../lib/compress.js';
import type { Digester } from '../lib/digest.js';
import { emitV6 } from '../lib/emit-v6.js';
import { Section } from '../lib/layout/blob.js';
import { SuperFlag } from '../lib/layout/v6.js';
import type {
  BlobInfo,
  BlobPart,
  ChunkPart,
  EndPart,
  Entry,
  EntryPart,
  FinishPart,
  ImagePart,
  NamedChunk,
  PlacedChunk,
  SectionPart,
} from '../lib/parts.js';
import { Tree } from '../lib/tree.js';
import { Stage } from './stage.js';

export interface FinalizerOptions {
  compressor: Compressor;
  digester: Digester;
  chunkSize: number;
  inlineMeta: boolean;
  blobToc: boolean;
  explicitUidGid: boolean;
  /** the blob is a tar: 512-byte blocks, chunks without digests */
  tarfs?: boolean;
  /** paths for the prefetch table */
  prefetch?: readonly string[];
  /** also make the bootstrap of external files that every build of a directory has */
  external?: boolean;
}

type In =
  | EntryPart
  | ChunkPart<PlacedChunk>
  | ChunkPart<NamedChunk>
  | EndPart
  | SectionPart
  | FinishPart
  | BlobPart;
type Out = SectionPart | FinishPart | ImagePart;

const COMPRESSION_FLAGS: Readonly<Record<Compressor, number>> = {
  none: SuperFlag.COMPRESSION_NONE,
  lz4_block: SuperFlag.COMPRESSION_LZ4,
  gzip: SuperFlag.COMPRESSION_GZIP,
  zstd: SuperFlag.COMPRESSION_ZSTD,
};
const HASH_FLAGS: Readonly<Record<Digester, number>> = {
  blake3: SuperFlag.HASH_BLAKE3,
  sha256: SuperFlag.HASH_SHA256,
};

export const bootstrapFinalizer = ({
  compressor,
  digester,
  chunkSize,
  inlineMeta,
  blobToc,
  explicitUidGid,
  tarfs = false,
  prefetch = [],
  external = false,
}: FinalizerOptions) => {
  const tree = new Tree();
  const chunks = new ChunkTable({ named: !tarfs });
  const flags =
    COMPRESSION_FLAGS[compressor] +
    HASH_FLAGS[digester] +
    (explicitUidGid ? SuperFlag.EXPLICIT_UID_GID : 0) +
    SuperFlag.ENCRYPTION_NONE;
  let row = 0;
  let entry: Entry | undefined;
  let firstChunk = 0;
  let entryCount = 0;
  let ended: BlobPart | undefined;

  const emit = (blobs: readonly BlobInfo[]): Iterable<Buffer> =>
    emitV6(planV6(tree, chunks, blobs, { chunkSize, flags, tarfs, prefetch }));

  /** Nothing but the root; that there are xattrs is said of both bootstraps. */
  const emitExternal = (): Iterable<Buffer> => {
    const plan = planV6(rootOf(tree), chunks, [], { chunkSize, flags });
    const said = plan.flags & SuperFlag.HAS_XATTR || tree.xattrSets.length === 1;
    return emitV6(said ? plan : { ...plan, flags: plan.flags + SuperFlag.HAS_XATTR });
  };

  /** A bootstrap in a file of its own; its name in a directory is its sha256 unless given. */
  function* separate(
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

  /** The bootstrap as a section of a blob, compressed where the blob has a TOC that says so. */
  function* inlined(file: BlobFile, pieces: Iterable<Buffer>): Generator<SectionPart, void> {
    const offset = file.position;
    if (!blobToc) {
      for (const bytes of pieces) yield file.append(bytes);
      yield file.appendHeader(Section.BOOT, file.position - offset);
      return;
    }
    const plain = Buffer.concat([...pieces]);
    const packed = compress('zstd', plain);
    const stored = packed ?? plain;
    yield file.append(stored);
    yield file.appendHeader(Section.BOOT, stored.length);
    file.addToTable(Section.BOOT, offset, {
      compressor: packed ? 'zstd' : 'none',
      compressedSize: stored.length,
      uncompressedSize: plain.length,
      uncompressedDigest: createHash('sha256').update(plain).digest(),
    });
    yield file.tableOfContents().part;
  }

  return new Stage<In, Out>('bootstrap-finalizer', {
    part(part) {
      switch (part.kind) {
        case 'entry':
          entry = part.entry;
          entryCount++;
          firstChunk = chunks.lists.length;
          row = tree.insert(entry);
          break;
        case 'chunk':
          // the table has the distinct chunks in the order of their ordinals
          chunks.lists.push('index' in part.chunk ? chunks.add(part.chunk) : part.chunk.ordinal);
          break;
        case 'end':
          if (entry!.type === 'file') {
            tree.setChunks(row, firstChunk, chunks.lists.length - firstChunk);
          }
          break;
        case 'blob':
          ended = part;
          break;
        case 'section':
        case 'finish':
          return [part];
      }
      return undefined;
    },
    *end() {
      const { blob, file } = ended!;
      let id = blob?.id;
      const pieces = emit(blob ? [blob] : []);
      if (inlineMeta) {
        yield* inlined(file, pieces);
        id = file.digest().toString('hex');
        yield { kind: 'finish', artifact: 'blob', name: id };
        if (external) {
          const other = new BlobFile('external-blob');
          yield* inlined(other, emitExternal());
          yield { kind: 'finish', artifact: 'external-blob', name: other.digest().toString('hex') };
        }
      } else {
        yield { kind: 'finish', artifact: 'blob', name: id }; // no id: nothing was new
        const name = yield* separate('bootstrap', pieces);
        if (external) yield* separate('external', emitExternal(), `${name}.external`);
      }
      yield {
        kind: 'image',
        image: {
          blobs: blob ? [id!] : [],
          blobSize: blob?.compressedSize ?? 0,
          entryCount,
        },
      };
    },
  });
};

/** A tree of nothing but the root. */
const rootOf = (tree: Tree): Tree => {
  const alone = new Tree();
  for (const column of ['mode', 'uid', 'gid', 'mtime', 'mtimeNsec', 'rdev'] as const) {
    alone[column].data[0] = tree[column].get(0);
  }
  if (tree.xattrs.get(0) !== 0) {
    alone.xattrs.data[0] = alone.xattrSets.push(tree.xattrSets[tree.xattrs.get(0)]) - 1;
  }
  return alone;
};
