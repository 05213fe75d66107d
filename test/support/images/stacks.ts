/** Random stacks of layers that hide files of each other, as images with their blobs in a folder. */
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import type { Compressor } from '../../../lib/layout/compressors.js';
import { prepareDigests, sha256 } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { Merger } from '../../../lib/image/merge.js';
import type { Entry } from '../../../lib/model/entry.js';
import { blobReader, type ImagePart } from '../../../streams/read/blob-reader.js';
import { openReaderAt, type ReaderAt } from '../../../streams/io/reader-at.js';
import type { Batch } from '../../../streams/batch.js';
import { buildLayer, partsOfEntries } from './build-layer.js';

export interface StackLayer {
  compressor: Exclude<Compressor, 'gzip'>;
  files: readonly { name: string; size: number; seed: number; deletes: boolean }[];
}
export interface Stack {
  fsVersion: 5 | 6;
  layers: readonly StackLayer[];
}

const file = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd/a', 'd/b', 'd/e/f'),
  size: fc.integer({ min: 0, max: 0x4000 }),
  seed: fc.integer({ min: 0, max: 40 }),
  deletes: fc.nat(3).map(n => n === 0),
});

export const stacks: fc.Arbitrary<Stack> = fc.record({
  fsVersion: fc.constantFrom(5, 6),
  layers: fc.array(
    fc.record({
      compressor: fc.constantFrom('none', 'zstd', 'lz4_block'),
      files: fc.uniqueArray(file, { selector: ({ name }) => name, minLength: 2, maxLength: 6 }),
    }),
    { minLength: 2, maxLength: 5 },
  ),
});

const entryOf = ({ name, size, seed, deletes }: StackLayer['files'][number]): Entry => {
  const slash = name.lastIndexOf('/') + 1;
  const path = deletes ? `${name.slice(0, slash)}.wh.${name.slice(slash)}` : name;
  return {
    path,
    type: 'file',
    mode: 0o644,
    uid: seed,
    gid: 1,
    mtime: 1000 + seed,
    mtimeNsec: 0,
    size: deletes ? 0 : size,
    rdev: 0,
    ...(seed % 5 === 0 ? { xattrs: new Map([['user.seed', Buffer.from(String(seed))]]) } : {}),
  };
};

/** Builds the layers and merges them: blobs go to `folder`, the result is the path of the image. */
export const buildStack = async ({ fsVersion, layers }: Stack, folder: string): Promise<string> => {
  await Promise.all([prepareDigests(), prepareCompressors()]);
  const merger = new Merger();
  for (const [n, { compressor, files }] of layers.entries()) {
    const parts = partsOfEntries(files.map(entryOf));
    // v5 has one compressor for all blobs
    const used = fsVersion === 5 ? layers[0]!.compressor : compressor;
    const options = { compressor: used, fsVersion, digester: 'blake3' } as const;
    const { bootstrap, blob } = await buildLayer(parts, options);
    const id = bootstrap.blobs[0]?.id;
    if (id !== undefined) fs.writeFileSync(path.join(folder, id), blob);
    const own = { id: id ?? '', keepsId: true };
    merger.add({ bootstrap, blobs: bootstrap.blobs, own, path: `layer ${n}` });
  }
  const { bootstrap } = merger.finish({ prefetch: ['a', 'd'] });
  const image = path.join(folder, 'image.boot');
  fs.writeFileSync(image, Buffer.concat([...bootstrap.pieces]));
  return image;
};

/** All that an image says of its files, with hashes of their content; whatever its blobs are. */
export const contentsOf = async (bootstrap: Bootstrap, folder: string): Promise<string[]> => {
  const blobs = new Map<number, ReaderAt>();
  for (const blob of bootstrap.blobs) {
    blobs.set(blob.index, await openReaderAt(path.join(folder, blob.id)));
  }
  const lines: string[] = [];
  let pieces: Buffer[] = [];
  let digests: string[] = [];
  try {
    // what the reader makes are batches of parts
    for await (const batch of blobReader({ bootstrap, blobs }) as AsyncIterable<Batch<ImagePart>>) {
      for (const part of batch) {
        if (part.kind === 'entry') lines.push(described(part.entry));
        else if (part.kind === 'chunk') {
          pieces.push(Buffer.from(part.bytes));
          digests.push(`${part.chunk.fileOffset}:${part.chunk.digest.toString('hex')}`);
        } else {
          lines.push(`${sha256(Buffer.concat(pieces)).toString('hex')} ${digests.join()}`);
          pieces = [];
          digests = [];
        }
      }
    }
  } finally {
    for (const source of blobs.values()) await source.close();
  }
  return lines;
};

const described = ({ xattrs, ...entry }: Entry): string =>
  JSON.stringify({ ...entry, xattrs: [...(xattrs ?? [])].map(([k, v]) => `${k}=${v.toString()}`) });

export const imageAt = (file: string): Bootstrap => parseBootstrap(fs.readFileSync(file));
