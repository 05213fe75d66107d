/**
 * image-writer: sink for a disk image; zeros become holes if the output can have them.
 *
 * takes bytes, hole and verity
 * holds one batch
 */
import { Writable } from 'node:stream';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { located } from '../../lib/errors.js';
import type { DiskPart } from './block-image.js';
import type { Output } from '../io/output.js';
import type { Batch } from '../batch.js';
import type { VerityPart } from './verity-hasher.js';

/** Zeros become holes in whole multiples of this: shorter holes save nothing. */
const HOLE_UNIT = 0x10000;
const ZEROS = Buffer.alloc(HOLE_UNIT);

export class ImageWriter extends Writable {
  /** root of the hash tree in hex, once received */
  root: string | undefined;
  /** pool that bytes may come from; told which of them have been written */
  written: BufferPool | undefined;
  readonly #output: Output;
  #position = 0;

  /** The output is neither finished nor abandoned here: the caller does that. */
  constructor(output: Output) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#output = output;
  }

  override _write(
    batch: Batch<DiskPart | VerityPart>,
    _encoding: BufferEncoding,
    done: (error?: Error) => void,
  ): void {
    this.#take(batch).then(
      () => done(),
      (error: unknown) => done(located(error, { stage: 'image-writer' })),
    );
  }

  async #take(batch: Batch<DiskPart | VerityPart>): Promise<void> {
    let run: Buffer[] = [];
    const flush = async (): Promise<void> => {
      const buffers = run;
      run = [];
      if (buffers.length > 0) await this.#output.write(buffers);
    };
    const hole = async (size: number): Promise<void> => {
      await flush();
      this.#output.hole!(size); // called only if there is one
    };
    for (const part of batch) {
      if (part.kind === 'verity') {
        this.root = part.root;
      } else if (part.kind === 'hole') {
        if (this.#output.hole) await hole(part.size);
        else await this.#zeros(part.size, flush);
        this.#position += part.size;
      } else if (this.#output.hole) {
        for (const [bytes, isZero] of runs(part.bytes, this.#position)) {
          if (isZero) await hole(bytes.length);
          else run.push(bytes);
        }
        this.#position += part.bytes.length;
      } else {
        run.push(part.bytes);
      }
    }
    await flush();
    if (!this.written) return;
    for (const part of batch) if (part.kind === 'bytes') this.written.releaseBefore(part.bytes);
  }

  async #zeros(size: number, flush: () => Promise<void>): Promise<void> {
    await flush();
    for (let left = size; left > 0; left -= ZEROS.length) {
      await this.#output.write([ZEROS.subarray(0, left)]);
    }
  }
}

/** Splits bytes into runs of whole units of zeros, and what lies between them. */
function* runs(bytes: Buffer, position: number): Iterable<[bytes: Buffer, isZero: boolean]> {
  const first = (HOLE_UNIT - (position % HOLE_UNIT)) % HOLE_UNIT;
  let from = 0;
  let wasZero = false;
  let at = first;
  for (; at + HOLE_UNIT <= bytes.length; at += HOLE_UNIT) {
    const isZero = bytes[at] === 0 && ZEROS.equals(bytes.subarray(at, at + HOLE_UNIT));
    if (isZero === wasZero) continue;
    if (at > from) yield [bytes.subarray(from, at), wasZero];
    from = at;
    wasZero = isZero;
  }
  if (wasZero) {
    yield [bytes.subarray(from, at), true];
    from = at;
  }
  if (from < bytes.length) yield [bytes.subarray(from), false];
}
