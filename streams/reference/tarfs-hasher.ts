/**
 * tarfs-hasher: measures and digests a tar as it passes, and keeps it if asked to.
 *
 * takes bytes; passes them, makes section and, at the end, layer
 * holds 8 slabs of 1 MiB
 *
 * The digest takes longer than all the rest, so it is computed in a thread, unless the tar fits into
 * half of the slabs.
 */
import type { BytesPart, LayerPart, SectionPart } from '../../lib/model/parts.js';
import { LongHash } from '../threads/long-hash.js';
import { Stage } from '../stage.js';

export interface TarfsHasherOptions {
  /** whether the layer part should have the digest */
  hashed: boolean;
  /** the digest in hex, if it is known; then it is not computed */
  digest?: string | undefined;
  /** also write the tar as the blob */
  kept: boolean;
}

const SLABS = 8;

export const tarfsHasher = ({ hashed, digest, kept }: TarfsHasherOptions) => {
  const hash = hashed && digest === undefined ? new LongHash({ slabs: SLABS }) : undefined;
  let size = 0;

  return new Stage<BytesPart, BytesPart | SectionPart | LayerPart>('tarfs-hasher', {
    async *transformBatch(parts) {
      for (const part of parts) {
        size += part.bytes.length;
        await hash?.add(part.bytes);
        if (kept) yield { kind: 'section', artifact: 'blob', bytes: part.bytes };
        yield part;
      }
    },
    async *flush() {
      const found = hash ? await hash.digest() : digest;
      await hash?.close();
      yield { kind: 'layer', size, digest: hashed ? found : undefined };
    },
    destroy() {
      void hash?.close();
    },
  });
};
