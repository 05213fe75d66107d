/**
 * The core of zran-demux: turns a gzipped tar into entries, and the content of its files into
 * chunks that tell where in the gzip they lie.
 *
 * The inflater stops where a chunk begins and where it ends, because only there can it tell which
 * bytes of the gzip make up the chunk. So inflater, tar parser and chunker cannot be separate
 * stages.
 */
import { copyShared } from '../../lib/memory/byte-queue.js';
import { RafsError } from '../../lib/errors.js';
import { GzipInflater } from '../../lib/compress/gzip-inflater.js';
import type { ChunkPart, ContextPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import type { LayerChunk } from '../../lib/model/chunk.js';
import type { Entry } from '../../lib/model/entry.js';
import { ZranCutter } from '../../lib/blob/zran.js';
import type { Witness } from '../layer/observer.js';
import { tarReader } from '../../lib/tar/reader.js';
import { NO_BYTES } from '../../lib/memory/allocate.js';

export type ZranPart = EntryPart | ChunkPart<LayerChunk> | EndPart | ContextPart;

export interface ZranParser {
  /** Gives the next bytes of the gzip; to be called when `next` asks for input. */
  feed(bytes: Buffer): void;
  /** Sets where the next chunks go, one after the other; at least as large as a chunk can be. */
  setRoom(room: Buffer): void;
  /** A part, or what must be given first. The bytes of a chunk are a view of the room. */
  next(): ZranPart | 'input' | 'room';
  /** What is left after the last bytes; fails with CORRUPT if the gzip or the tar is incomplete. */
  end(): ContextPart | undefined;
}

/**
 * Fails with UNSUPPORTED for a sparse file: its content is not contiguous in the tar.
 *
 * @param options.chunkSize size of every chunk except a file's last
 * @param options.witness is shown what the gzip inflates to
 * @param options.warn is told what is left out or changed
 */
export const zranParser = ({
  chunkSize,
  witness,
  warn,
}: {
  chunkSize: number;
  witness?: Witness;
  warn?: (message: string) => void;
}): ZranParser => {
  const steps = new GzipInflater({ boundaries: true });
  const tar = tarReader({ contents: false, ...(warn ? { warn } : {}) });
  const cutter = new ZranCutter(chunkSize);
  const made: (EntryPart | EndPart)[] = [];
  let outOffset = 0;
  let outEnd = 0; // where to stop next
  let tarEnd = 0; // end of what the tar parser has seen; it may not need some bytes after that
  let room: Buffer = NO_BYTES; // the rest of what setRoom() gave

  /** Inflates up to `outEnd` and passes the output to `use`; false if it needs input first. */
  const inflate = (use: (piece: Buffer) => void): boolean => {
    while (outOffset < outEnd) {
      const piece = steps.next(outEnd - outOffset);
      if (!piece) return false;
      witness?.(piece);
      use(piece);
      outOffset += piece.length;
    }
    return true;
  };

  const passOver = (): void => undefined;
  const readTar = (bytes: Buffer): void => {
    tar.part({ kind: 'bytes', offset: outOffset, bytes }, part => {
      // there is nothing else: it skips content
      if (part.kind === 'entry' || part.kind === 'end') made.push(part);
    });
  };
  const keep = (piece: Buffer): void => {
    copyShared(room, 0, piece);
    room = room.subarray(piece.length);
  };

  function* chunksOf({ path, size, dataOffset }: Entry): Iterable<ZranPart | 'input' | 'room'> {
    if (size > 0 && dataOffset === undefined) {
      throw new RafsError('UNSUPPORTED', 'a sparse file cannot be read out of its gzip', { path });
    }
    for (let fileOffset = 0; fileOffset < size; fileOffset += chunkSize) {
      const uncompressedSize = Math.min(chunkSize, size - fileOffset);
      if (room.length < uncompressedSize) yield 'room';
      while (!steps.enterMember()) yield 'input';
      // a header came before it, and a boundary before that
      const complete = cutter.begin(steps.position, steps.boundary!);
      if (complete) yield complete;
      const bytes = room.subarray(0, uncompressedSize);
      outEnd = outOffset + uncompressedSize;
      while (!inflate(keep)) yield 'input';
      const zran = cutter.end(steps.position);
      yield { kind: 'chunk', chunk: { fileOffset, uncompressedSize, zran }, bytes };
    }
  }

  function* parse(): Generator<ZranPart | 'input' | 'room', never> {
    for (;;) {
      outEnd = tarEnd + tar.skippable;
      while (!inflate(passOver)) yield 'input';
      outEnd += tar.wanted;
      while (!inflate(readTar)) yield 'input';
      tarEnd = outEnd;
      for (const part of made) {
        yield part;
        if (part.kind === 'entry' && part.entry.type === 'file') yield* chunksOf(part.entry);
      }
      made.length = 0;
    }
  }
  const parts = parse();

  return {
    feed: bytes => steps.feed(bytes),
    setRoom(given) {
      room = given;
    },
    next: () => parts.next().value,
    end() {
      steps.end();
      readTar(NO_BYTES); // says how far the content of the last file reached
      tar.end();
      return cutter.last();
    },
  };
};
