/**
 * Bytes that are collected, and then needed as one run if they are few: up to a limit they are held
 * in memory, beyond it they lie in an unnamed file. File access is synchronous; the file has at
 * most some tens of megabytes for every gigabyte that flows.
 */
import fs from 'node:fs';
import { allocate } from '../../lib/memory/allocate.js';
import { GrowingMemory } from '../../lib/memory/growing-memory.js';
import { temporaryName } from '../files/temporary-name.js';

export class SpooledBuffer {
  readonly #directory: string;
  readonly #limit: number;
  #memory: GrowingMemory | undefined = new GrowingMemory();
  #fd: number | undefined;
  #size = 0;

  /** @param directory for the file @param limit bytes to hold in memory */
  constructor(directory: string, limit: number) {
    this.#directory = directory;
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends a copy. Fails with the system's error if there is no room for it. */
  add(bytes: Uint8Array): void {
    if (this.#memory && this.#size + bytes.length > this.#limit) this.#spool(this.#memory);
    if (this.#memory) this.#memory.add(bytes);
    else this.#write(bytes, this.#size);
    this.#size += bytes.length;
  }

  /** Bytes for the caller to look at, invalid after the next addition. */
  view(at: number, size: number): Buffer {
    if (this.#memory) return this.#memory.view(at, size);
    const bytes = allocate(size);
    for (let got = 0; got < size;) {
      const count = fs.readSync(this.#fd!, bytes, got, size - got, at + got);
      if (count === 0) throw new Error(`a temporary file ends unexpectedly at ${at + got}`);
      got += count;
    }
    return bytes;
  }

  /**
   * Everything, with `head` in front of it: a view, invalid after the next addition; undefined if
   * there is too much to hold in memory.
   */
  behind(head: Uint8Array): Buffer | undefined {
    return this.#memory?.behind(head);
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
    this.#memory = undefined;
  }

  #spool(memory: GrowingMemory): void {
    const file = temporaryName(this.#directory);
    this.#fd = fs.openSync(file, 'wx+', 0o600);
    fs.unlinkSync(file); // it vanishes with its descriptor, whatever happens to us
    this.#write(memory.view(0, this.#size), 0);
    this.#memory = undefined;
  }

  #write(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.length;) {
      done += fs.writeSync(this.#fd!, bytes, done, bytes.length - done, at + done);
    }
  }
}
