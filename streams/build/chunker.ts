/**
 * chunker: cuts the content of each file into chunks.
 *
 * takes data and hole, makes chunk, passes everything else
 * holds one chunk, and one of zeros once it is needed
 */
import type { BufferFlow } from '../../lib/memory/buffer-pool.js';
import { ByteQueue } from '../../lib/memory/byte-queue.js';
import { RafsError } from '../../lib/errors.js';
import { MAX_HOLE_CHUNKS } from '../../lib/model/limits.js';
import type {
  ChunkPart,
  DataPart,
  EndPart,
  EntryPart,
  ExternalPart,
  HolePart,
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

  const cut = (size: number): ChunkPart => chunkOf(queue.take(size), false);

  const chunkOf = (bytes: Buffer, hole: boolean): ChunkPart => {
    // with the fields that later stages set: objects become slow if fields are added
    const chunk = {
      fileOffset,
      uncompressedSize: bytes.length,
      hole,
      digest: undefined,
      crc32: 0,
      uniqueIndex: 0,
      known: false,
      compressed: false,
    };
    fileOffset += bytes.length;
    return { kind: 'chunk', chunk, bytes };
  };

  let zeros: Buffer | undefined; // shared by all holes
  let holeChunks = 0;

  /** Chunks of a hole: those that are whole share their bytes. */
  function* chunksOf(size: number): Iterable<ChunkPart> {
    zeros ??= Buffer.alloc(chunkSize);
    const first = queue.length === 0 ? 0 : Math.min(size, chunkSize - queue.length);
    queue.push(zeros.subarray(0, first));
    if (queue.length === chunkSize) yield cut(chunkSize);
    const whole = Math.floor((size - first) / chunkSize);
    holeChunks += whole;
    if (holeChunks > MAX_HOLE_CHUNKS) {
      throw new RafsError(
        'LIMIT',
        `the holes of sparse files take ${holeChunks} chunks, over ${MAX_HOLE_CHUNKS}: ` +
          `with a larger chunk size than ${chunkSize} they take fewer`,
        { path: entry!.path },
      );
    }
    for (let i = 0; i < whole; i++) yield chunkOf(zeros, true);
    queue.push(zeros.subarray(0, size - first - whole * chunkSize));
  }

  type Passed = EntryPart | EndPart | ExternalPart | LayerPart;
  return new Stage<Passed | DataPart | HolePart, Passed | ChunkPart>('chunker', {
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
        case 'hole':
          return chunksOf(part.size);
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
      return undefined;
    },
  });
};
