/**
 * chunker: cuts the content of each file into chunks.
 *
 * takes data, makes chunk, passes everything else
 * holds one chunk
 */
import { ByteQueue } from '../lib/bytes.js';
import { RafsError } from '../lib/errors.js';
import type { ChunkPart, DataPart, EndPart, Entry, EntryPart, LayerPart } from '../lib/parts.js';
import { Stage } from './stage.js';

/** @param options.chunkSize bytes of every chunk but a file's last: a power of two */
export const chunker = ({ chunkSize }: { chunkSize: number }) => {
  const queue = new ByteQueue();
  let entry: Entry | undefined;
  let fileOffset = 0;

  const cut = (size: number): ChunkPart => {
    const chunk = { fileOffset, uncompressedSize: size };
    fileOffset += size;
    return { kind: 'chunk', chunk, bytes: queue.take(size) };
  };

  type Passed = EntryPart | EndPart | LayerPart;
  return new Stage<Passed | DataPart, Passed | ChunkPart>('chunker', {
    *part(part) {
      switch (part.kind) {
        case 'entry':
          entry = part.entry;
          fileOffset = 0;
          yield part;
          break;
        case 'data':
          queue.push(part.bytes);
          while (queue.length >= chunkSize) yield cut(chunkSize);
          break;
        case 'end':
          if (queue.length > 0) yield cut(queue.length);
          if (fileOffset !== entry!.size) {
            throw new RafsError('CORRUPT', `got ${fileOffset} bytes of ${entry!.size}`, {
              path: entry!.path,
            });
          }
          yield part;
          break;
        default:
          yield part;
      }
    },
  });
};
