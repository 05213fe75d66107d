/** Runs single stages: parts in, parts out, however they are batched and however slow the reader. */
import { Readable, Writable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BytesPart } from '../../../lib/model/parts.js';

export interface CollectOptions {
  /** parts in a batch; 1 unless given */
  batch?: number;
  /** the reader waits between batches */
  slow?: boolean;
}

/** All parts that `stages` make of `parts`; rejects with what they fail with. */
export const collect = async <In, Out>(
  stages: Duplex,
  parts: Iterable<In>,
  { batch = 1, slow = false }: CollectOptions = {},
): Promise<Out[]> => {
  const out: Out[] = [];
  const sink = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(made: readonly Out[], _encoding, done) {
      out.push(...made);
      if (slow) setImmediate(done);
      else done();
    },
  });
  await pipeline(Readable.from(batches(parts, batch), { highWaterMark: 1 }), stages, sink);
  return out;
};

function* batches<In>(parts: Iterable<In>, size: number): Iterable<In[]> {
  let batch: In[] = [];
  for (const part of parts) {
    batch.push(part);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** `bytes` as bytes parts, cut at the given places (taken modulo the length). */
export const cutAt = (bytes: Buffer, cuts: readonly number[]): BytesPart[] => {
  const places = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const parts: BytesPart[] = [];
  let from = 0;
  for (const to of [...places, bytes.length]) {
    // a copy, so that a stage that keeps a view of its input shows in a test
    if (to > from) {
      parts.push({ kind: 'bytes', offset: from, bytes: Buffer.from(bytes.subarray(from, to)) });
    }
    from = to;
  }
  return parts;
};
