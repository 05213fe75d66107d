/**
 * chunker: cuts the content of each file into chunks.
 *
 * takes data, makes chunk, passes everything else
 * holds one chunk
 */
import type { BufferFlow } from '../../lib/memory/buffer-pool.js';
import { ByteQueue } from '../../lib/memory/byte-queue.js';
import { RafsError } from '../../lib/errors.js';
import type {
  ChunkPart,
  DataPart,
  EndPart,
  EntryPart,
  ExternalPart,
  LayerPart,
} from '../../lib/model/parts.js';
import type { Entry } from '../../lib/model/entry.js';
import { Stage } from '../stage.js';

export interface ChunkerOptions {
  /** size of every chunk except a file's last; a power of two */
  chunkSize: number;
  /** makes buffers for chunks that come in pieces */
  flow?: BufferFlow | undefined;
}

export const chunker = ({ chunkSize, flow }: ChunkerOptions) => {
  const queue = new ByteQueue(flow && ((size, last) => flow.join(size, last)));
  let entry: Entry | undefined;
  let fileOffset = 0;

  const cut = (size: number): ChunkPart => {
    // with the fields that later stages set: objects become slow if fields are added
    const chunk = {
      fileOffset,
      uncompressedSize: size,
      digest: undefined,
      crc32: 0,
      uniqueIndex: 0,
      known: false,
      compressed: false,
    };
    fileOffset += size;
    return { kind: 'chunk', chunk, bytes: queue.take(size) };
  };

  type Passed = EntryPart | EndPart | ExternalPart | LayerPart;
  return new Stage<Passed | DataPart, Passed | ChunkPart>('chunker', {
    transform(part, push) {
      switch (part.kind) {
        case 'entry':
          entry = part.entry;
          fileOffset = 0;
          push(part);
          break;
        case 'data':
          queue.push(part.bytes);
          while (queue.length >= chunkSize) push(cut(chunkSize));
          break;
        case 'end':
          if (queue.length > 0) push(cut(queue.length));
          if (fileOffset !== entry!.size) {
            throw new RafsError('CORRUPT', `expected ${entry!.size} bytes, got ${fileOffset}`, {
              path: entry!.path,
            });
          }
          push(part);
          break;
        default:
          push(part);
      }
    },
  });
};
