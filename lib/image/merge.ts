/** Merges images of layers into one, by the rules of OCI whiteouts. */
import { RAFS_VERSIONS } from '../model/version.js';
import { BlobTable } from '../bootstrap/blob-table.js';
import type { Bootstrap } from '../bootstrap/bootstrap.js';
import type { BlobRecord } from '../model/stored.js';
import { ChunkTable } from '../chunk/chunk-table.js';
import {
  hasExplicitOwners,
  inconsistency,
  settingsOf,
  type Settings,
} from '../bootstrap/settings.js';
import { planBootstrap } from '../bootstrap/plan.js';
import type { PlannedBootstrap } from '../bootstrap/bootstrap-options.js';
import { RafsError } from '../errors.js';
import { BlobFeature } from '../layout/blob.js';
import { SuperFlag } from '../layout/rafs.js';
import { loadTree, type LoadedImage } from './load-image.js';
import { applyLayer, dropWhiteouts } from '../tree/overlay.js';
import type { BlobInfo } from '../model/blob.js';
import { inOrder } from '../tree/sorted-children.js';
import { Tree } from '../tree/tree.js';
import { hasFlag } from '../layout/struct.js';

/** What the caller knows about a layer's own blob better than the layer's bootstrap does. */
export interface OwnBlob {
  /** replaces the id in the bootstrap unless `keepsId` */
  id: string;
  /** the id in the bootstrap is right */
  keepsId: boolean;
  /** for a blob that only refers to a layer: of the file with its metadata; else the blob's id */
  digest?: Buffer;
  /** of that file, or else of the blob */
  size?: number;
  tocDigest?: Buffer;
  tocSize?: number;
}

export interface Layer {
  bootstrap: Bootstrap;
  /** its blobs, as another image would list them */
  blobs: readonly BlobInfo[];
  own: OwnBlob;
  /** for errors */
  path: string;
}

export interface MergerOptions {
  parent?: LoadedImage;
  dict?: Bootstrap;
  /** whiteouts of the lowest layer stay in the image, for layers that it is to be laid over */
  keepsWhiteouts?: boolean;
}

export interface Merged {
  blobs: readonly BlobInfo[];
  bootstrap: PlannedBootstrap;
}

const DEFAULT_CHUNK_SIZE = 0x100000;
/** Limit on the blobs that layers name, used or not. */
const MAX_BLOBS = 0xffff;

/**
 * Takes layers one after another, the lowest first, and holds the tree and the chunks of all: about
 * 100 bytes per inode and 80 per chunk. Fails with INCONSISTENT if layers cannot form one image.
 */
export class Merger {
  readonly #tree: Tree;
  readonly #dictBlobs: ReadonlySet<string>;
  readonly #keepsWhiteouts: boolean;
  readonly #hasParent: boolean;
  readonly #parent: Bootstrap | undefined;
  readonly #blobs: BlobInfo[] = [];
  readonly #indexes = new Map<string, number>(); // by the id in the layer
  #chunks: ChunkTable | undefined;
  #settings: Settings | undefined;
  #chunkSize: number | undefined;
  #last: Bootstrap | undefined;
  #encrypted = false;

  constructor({ parent, dict, keepsWhiteouts = false }: MergerOptions = {}) {
    this.#tree = parent?.tree ?? new Tree();
    this.#chunks = parent?.chunks;
    this.#parent = parent?.bootstrap;
    this.#hasParent = parent !== undefined;
    for (const blob of parent?.blobs.finish(undefined) ?? []) this.#addBlob(blob.id, blob);
    this.#dictBlobs = new Set(dict?.blobs.map(({ id }) => id));
    this.#keepsWhiteouts = keepsWhiteouts;
    if (dict) this.#settings = settingsOf(dict);
  }

  add({ bootstrap, blobs, own, path }: Layer): void {
    this.#check(bootstrap, path);
    const blobIndexes = this.#takeBlobs(bootstrap, blobs, own, path);
    this.#chunks ??= new ChunkTable({ named: !bootstrap.tarfs });
    const lowest = this.#last === undefined && !this.#hasParent;
    const root = lowest ? 0 : this.#tree.addRoot();
    loadTree(bootstrap, { tree: this.#tree, root, chunks: this.#chunks, blobIndexes });
    if (!lowest) applyLayer(this.#tree, 0, root, 'oci');
    else if (!this.#keepsWhiteouts) dropWhiteouts(this.#tree, root, 'oci');
    this.#last = bootstrap;
    const encrypted = hasFlag(bootstrap.flags, SuperFlag.ENCRYPTION_AES_128_XTS);
    this.#encrypted ||= encrypted;
  }

  /** Plans the merged bootstrap, with compressor, digester and owner flag as in the last layer. */
  finish({ prefetch }: { prefetch: readonly string[] }): Merged {
    const last = this.#last;
    const chunks = this.#chunks;
    if (!last || !chunks) throw new RafsError('USAGE', 'there are no layers to merge');
    const blobs = this.#usedBlobs(chunks, last.tarfs);
    const bootstrap = planBootstrap(this.#tree, chunks, blobs, {
      fsVersion: last.version,
      compressor: last.compressor,
      digester: last.digester,
      // a parent may no longer have the blobs that its chunk size comes from
      chunkSize: this.#chunkSize ?? this.#parent?.chunkSize ?? DEFAULT_CHUNK_SIZE,
      explicitUidGid: hasExplicitOwners(last.flags),
      encrypted: this.#encrypted,
      tarfs: last.tarfs,
      prefetch,
      hasXattrs: RAFS_VERSIONS[last.version].isBlockImage,
    });
    return { blobs, bootstrap };
  }

  #check(bootstrap: Bootstrap, file: string): void {
    this.#settings ??= settingsOf(bootstrap);
    const why = inconsistency(this.#settings, bootstrap);
    if (why) throw new RafsError('INCONSISTENT', why, { file });
    if (bootstrap.tarfs && (this.#hasParent || this.#dictBlobs.size > 0)) {
      const option = this.#hasParent ? '--parent-bootstrap' : '--chunk-dict';
      throw new RafsError('UNSUPPORTED', `merging RAFS in TARFS mode conflicts with \`${option}\``);
    }
    if (this.#last === undefined) this.#checkParent(this.#settings, file);
  }

  #checkParent(settings: Settings, file: string): void {
    const parent = this.#parent;
    if (!parent) return;
    // the chunk size of an image without blobs means nothing
    const chunkSize = parent.blobs.length === 0 ? parent.chunkSize : settings.chunkSize;
    const why = inconsistency({ ...settings, chunkSize }, parent);
    if (why) throw new RafsError('INCONSISTENT', why, { file });
  }

  /** Assigns indexes to the blobs of a layer. */
  #takeBlobs(
    bootstrap: Bootstrap,
    blobs: readonly BlobInfo[],
    own: OwnBlob,
    path: string,
  ): number[] {
    let owned = false;
    // the layers of a Tarfs image are files of the same name, each in a directory of its own
    const known = { ...own, keepsId: own.keepsId || bootstrap.tarfs };
    return bootstrap.blobs.map((record, i) => {
      this.#checkChunkSize(record.chunkSize, path);
      const isExternal = (record.features & BlobFeature.EXTERNAL) !== 0;
      const isOwn = !isExternal && !this.#dictBlobs.has(record.id);
      if (isOwn && owned) {
        throw new RafsError(
          'UNSUPPORTED',
          'invalid per layer bootstrap, having multiple associated data blobs',
          { file: path },
        );
      }
      owned ||= isOwn;
      const index = this.#indexes.get(record.id);
      const blob = isOwn ? corrected(blobs[i]!, record, known) : blobs[i]!;
      if (index === undefined) return this.#addBlob(record.id, blob);
      refuseIfOther(this.#blobs[index]!, blob);
      return index;
    });
  }

  #checkChunkSize(chunkSize: number, path: string): void {
    this.#chunkSize ??= chunkSize;
    if (chunkSize === this.#chunkSize) return;
    throw new RafsError(
      'UNSUPPORTED',
      'can not merge bootstraps with inconsistent chunk size, current bootstrap ' +
        `${JSON.stringify(path)} with chunk size ${chunkSize.toString(16)}, ` +
        `expected ${this.#chunkSize.toString(16)}`,
    );
  }

  #addBlob(id: string, blob: BlobInfo): number {
    const index = this.#blobs.length;
    if (index > MAX_BLOBS)
      throw new RafsError('LIMIT', `layers with more than ${MAX_BLOBS} blobs cannot be merged`);
    this.#chunkSize ??= blob.chunkSize;
    this.#blobs.push(blob);
    this.#indexes.set(id, index);
    return index;
  }

  /**
   * The blobs that some file still refers to; renumbers the chunks to match. Blobs are in the order
   * in which files first use them or, where clients attach the layers as devices, in layer order.
   */
  #usedBlobs(chunks: ChunkTable, inLayerOrder: boolean): BlobInfo[] {
    const used = new Set<number>();
    for (const row of inOrder(this.#tree)) {
      const first = this.#tree.firstChunk.get(row);
      for (let i = first; i < first + this.#tree.chunkCount.get(row); i++) {
        used.add(chunks.blobIndex.get(chunks.lists.get(i)));
      }
    }
    const order = [...used];
    if (inLayerOrder) order.sort((a, b) => a - b);
    const table = new BlobTable();
    const given: BlobInfo[] = [];
    const indexes = new Uint16Array(this.#blobs.length);
    for (const before of order) {
      const blob = this.#blobs[before]!;
      const index = table.indexOf(blob);
      given[index] ??= blob;
      refuseIfOther(given[index], blob);
      indexes[before] = index;
    }
    for (let row = 0; row < chunks.count; row++) {
      chunks.blobIndex.data[row] = indexes[chunks.blobIndex.get(row)]!;
    }
    return given;
  }
}

/** The layer's own blob, as the caller knows it. */
const corrected = (
  blob: BlobInfo,
  { id: knownId, features }: BlobRecord,
  own: OwnBlob,
): BlobInfo => {
  const id = own.keepsId ? knownId : own.id;
  const { digest, size, tocDigest, tocSize } = own;
  const separate = (features & BlobFeature.SEPARATE) !== 0;
  return {
    ...blob,
    id: digest && !separate ? digest.toString('hex') : id,
    ...(digest && separate ? { metaDigest: digest } : {}),
    ...(size === undefined ? {} : separate ? { metaSize: size } : { compressedSize: size }),
    ...(tocDigest ? { tocDigest } : {}),
    ...(tocSize === undefined ? {} : { tocSize }),
  };
};

/** What one image cannot say twice about a blob. */
const FACTS = [
  'chunkCount',
  'uncompressedSize',
  'compressor',
  'digester',
  'ciOffset',
  'ciCompressedSize',
] as const satisfies (keyof BlobInfo)[];

/**
 * Two blobs under one id would give the files of one the bytes of the other; one blob whose chunks
 * have digests of two algorithms would be refused by every reader.
 */
const refuseIfOther = (a: BlobInfo, b: BlobInfo): void => {
  const other = FACTS.find(fact => a[fact] !== b[fact]);
  if (other === undefined) return;
  throw new RafsError(
    'UNSUPPORTED',
    other === 'digester'
      ? `two layers have the blob '${a.id}' with digests of different algorithms`
      : `two layers have a blob with the id '${a.id}': give each its own with --original-blob-ids`,
  );
};
