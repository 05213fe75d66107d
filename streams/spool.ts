/**
 * Bytes that are written once and read once, later. Up to 16 MiB stay in memory, more go to a file
 * without a name.
 */
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hiddenName } from './hidden-name.js';
import { without } from './output.js';

/**
 * Where to spool what goes to `target`: beside a file there is room for more of it; what a FIFO's
 * reader has is not ours.
 */
export const spoolDirectory = (target: string): string =>
  /^-$|^\/dev\//.test(target) ? tmpdir() : path.dirname(target);

const MEMORY = 0x1000000;
const PIECE_SIZE = 0x100000;

export class Spool {
  readonly #directory: string;
  readonly #memory: number;
  #held: Buffer[] = [];
  #heldSize = 0;
  #file: FileHandle | undefined;
  #fileSize = 0;

  /** @param directory for the file @param memory bytes that are held before it is made */
  constructor(directory: string, memory = MEMORY) {
    this.#directory = directory;
    this.#memory = memory;
  }

  /** Appends; the buffers are the spool's from now on. One call at a time. */
  async write(buffers: readonly Buffer[]): Promise<void> {
    for (const buffer of buffers) {
      this.#held.push(buffer);
      this.#heldSize += buffer.length;
    }
    if (this.#heldSize <= this.#memory) return;
    this.#file ??= await this.#create();
    for (let left = this.#held; left.length > 0;) {
      const { bytesWritten } = await this.#file.writev(left, this.#fileSize);
      this.#fileSize += bytesWritten;
      left = without(left, bytesWritten);
    }
    this.#held = [];
    this.#heldSize = 0;
  }

  /** All of it, in order. */
  async *read(): AsyncIterable<Buffer> {
    for (let at = 0; this.#file && at < this.#fileSize;) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, this.#fileSize - at));
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, at);
      if (bytesRead === 0) throw new Error(`a temporary file ends at ${at}`);
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
    yield* this.#held;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#held = [];
    await file?.close();
  }

  /** A file that goes with its descriptor, whatever happens to us. */
  async #create(): Promise<FileHandle> {
    const name = hiddenName(this.#directory);
    const file = await open(name, 'wx+', 0o600);
    try {
      await unlink(name);
    } catch (error) {
      await file.close();
      throw error;
    }
    return file;
  }
}
