/** Builds layers of entries, without files and processes. */
import { BlobFile } from '../../../lib/blob/blob-file.js';
import chain from 'stream-chain';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import type {
  BuiltImage,
  DataPart,
  EndPart,
  EntryPart,
  FinishPart,
  ImagePart,
  SectionPart,
} from '../../../lib/model/parts.js';
import type { Entry } from '../../../lib/model/entry.js';
import { blobWriter } from '../../../streams/build/blob-writer.js';
import {
  bootstrapFinalizer,
  type FinalizerOptions,
} from '../../../streams/build/bootstrap-finalizer.js';
import { chunker } from '../../../streams/build/chunker.js';
import { compressor } from '../../../streams/build/compressor.js';
import { digester } from '../../../streams/build/digester.js';
import { collect } from '../stream/stage.js';

export type BuildPart = EntryPart | DataPart | EndPart;

export interface BuiltLayer {
  bytes: Buffer;
  bootstrap: Bootstrap;
  external: Buffer;
  blob: Buffer;
  image: BuiltImage;
}

export const buildLayer = async (
  parts: readonly BuildPart[],
  options: Partial<FinalizerOptions> = {},
): Promise<BuiltLayer> => {
  const all = {
    compressor: 'none',
    digester: 'sha256',
    inlineMeta: false,
    blobToc: false,
    chunkSize: 0x1000,
    explicitUidGid: true,
    ...options,
  } as const;
  const file = new BlobFile();
  const stages = chain([
    chunker(all),
    await digester({ ...all, algorithm: all.digester }),
    await compressor({ ...all, workers: 0 }),
    blobWriter({ ...all, file }),
    bootstrapFinalizer({ ...all, file }),
  ]);
  const out = await collect<BuildPart, SectionPart | FinishPart | ImagePart>(stages, parts, {
    batch: 50,
  });
  const bytesOf = (artifact: SectionPart['artifact']): Buffer =>
    Buffer.concat(
      out.flatMap(part =>
        part.kind === 'section' && part.artifact === artifact ? [part.bytes] : [],
      ),
    );
  const bytes = bytesOf('bootstrap');
  const last = out.find(part => part.kind === 'image');
  return {
    bytes,
    bootstrap: parseBootstrap(bytes),
    external: bytesOf('external'),
    blob: bytesOf('blob'),
    image: last!.image,
  };
};

/** Content of a file that depends on its size and owner alone, so that files repeat. */
const contentOf = ({ size, uid }: Entry): Buffer => {
  const content = Buffer.alloc(size);
  for (let at = 0; at < size; at += 0x1000)
    content.fill(uid + at / 0x1000, at, Math.min(at + 0x1000, size));
  return content;
};

export const partsOfEntries = (entries: readonly Entry[]): BuildPart[] =>
  entries.flatMap((entry): BuildPart[] => [
    { kind: 'entry', entry },
    ...(entry.size > 0 ? [{ kind: 'data', bytes: contentOf(entry) } as const] : []),
    { kind: 'end' },
  ]);
