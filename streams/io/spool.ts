/**
 * Bytes that are written once and later read once. Up to 16 MiB stay in memory; more go to an
 * unnamed file.
 */
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { temporaryName } from '../files/temporary-name.js';
import { without } from './output.js';

/**
 * Where to spool data for `target`: in its directory, where a file has room for more, or in the
 * temporary one for stdout and devices, since we do not know where their data is stored.
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

  /** @param directory for the file @param memory bytes that are held before it is created */
  constructor(directory: string, memory = MEMORY) {
    this.#directory = directory;
    this.#memory = memory;
  }

  /** Appends buffers, which belong to the spool from now on. One call at a time. */
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

  /** All bytes, in order. */
  async *read(): AsyncIterable<Buffer> {
    for (let at = 0; this.#file && at < this.#fileSize;) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, this.#fileSize - at));
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, at);
      if (bytesRead === 0) throw new Error(`a temporary file ends unexpectedly at ${at}`);
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

  /** A file that vanishes with its descriptor, whatever happens to this process. */
  async #create(): Promise<FileHandle> {
    const name = temporaryName(this.#directory);
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
