/**
 * artifact-writer: the sink of a build: writes sections to files or FIFOs, and names the files.
 *
 * takes section, finish and image
 * holds one batch
 *
 * No file gets its final name before all parts have come and all artifacts are written: a build
 * that fails before that leaves no files. Only FIFOs, devices and stdout get bytes earlier.
 */
import { Writable } from 'node:stream';
import { located } from '../../lib/errors.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import type { BuiltImage, FinishPart, ImagePart, SectionPart } from '../../lib/model/parts.js';
import type { Artifact } from '../../lib/model/blob.js';
import {
  discardOutput,
  openOutput,
  openOutputInDirectory,
  openOutputLate,
} from '../io/open-output.js';
import type { Output, OutputOptions } from '../io/output.js';
import { refuseSameFile, type NamedFile } from '../files/same-file.js';
import { streamOutput } from '../io/stream-output.js';
import type { Batch } from '../batch.js';

export type ArtifactPart = SectionPart | FinishPart | ImagePart;

/**
 * A path (of a file, FIFO or device, or '-' for standard output), a directory, a stream that is
 * ended or destroyed, or nowhere. With `late`, nothing is created in the directory before there are
 * bytes to write.
 */
export type Target =
  | { path: string }
  | { directory: string; late?: boolean }
  | { stream: Writable }
  | { discard: true };

export type Targets = { readonly [A in Artifact]?: Target };

interface Open {
  output: Output;
  finished: boolean;
  /** file name, if it is stored in a directory; without one, nothing is stored there */
  name: string | undefined;
  /** it holds a secret */
  secret: boolean;
}

export class ArtifactWriter extends Writable {
  /** what the last image part carried */
  image: BuiltImage | undefined;
  /** where the artifacts are, once the writer has finished */
  readonly paths: { [A in Artifact]?: string } = {};
  /** pool that bytes of sections may come from; is told which have been written */
  written: BufferPool | undefined;
  #open: ReadonlyMap<Artifact, Open>;

  constructor(open: ReadonlyMap<Artifact, Open>) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#open = open;
  }

  /** bytes of all artifacts so far */
  get bytesWritten(): number {
    let sum = 0;
    for (const { output } of this.#open.values()) sum += output.bytesWritten;
    return sum;
  }

  override _write(
    batch: Batch<ArtifactPart>,
    _encoding: BufferEncoding,
    done: (error?: Error) => void,
  ): void {
    settle(this.#take(batch), done);
  }

  override _final(done: (error?: Error) => void): void {
    settle(this.#finish(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // what is finished stays, the rest is removed
    const all = [...this.#open.values()].map(({ output }) => output.abandon());
    void Promise.allSettled(all).then(() => done(error));
  }

  async #take(batch: Batch<ArtifactPart>): Promise<void> {
    let run: Buffer[] = [];
    let artifact: Artifact | undefined;
    const flush = async (): Promise<void> => {
      const buffers = run;
      run = [];
      if (artifact && buffers.length > 0) await this.#append(artifact, buffers);
      if (this.written) for (const bytes of buffers) this.written.releaseBefore(bytes);
    };
    for (const part of batch) {
      if (part.kind === 'section') {
        if (part.artifact !== artifact) await flush();
        artifact = part.artifact;
        run.push(part.bytes);
      } else if (part.kind === 'finish') {
        await flush();
        const { name, secret = false } = part;
        Object.assign(this.#of(part.artifact), { finished: true, name, secret });
      } else this.image = part.image;
    }
    await flush();
  }

  async #append(artifact: Artifact, buffers: readonly Buffer[]): Promise<void> {
    const open = this.#of(artifact);
    if (open.finished) throw new Error(`${artifact} was finished`);
    try {
      await open.output.write(buffers);
    } catch (error) {
      throw located(error, { artifact });
    }
  }

  async #finish(): Promise<void> {
    // all at once, and before any gets its name: that takes little more time than the slowest
    await Promise.all(
      [...this.#open].map(async ([artifact, { output, secret }]) => {
        if (secret) output.restrict?.();
        try {
          await output.flush?.();
        } catch (error) {
          throw located(error, { artifact });
        }
      }),
    );
    for (const [artifact, { output, name }] of this.#open) {
      try {
        const path = await output.finish(name);
        if (path !== undefined) this.paths[artifact] = path;
      } catch (error) {
        throw located(error, { artifact });
      }
    }
  }

  #of(artifact: Artifact): Open {
    const open = this.#open.get(artifact);
    if (!open) throw new Error(`no target for ${artifact}`);
    return open;
  }
}

const settle = (work: Promise<void>, done: (error?: Error) => void): void => {
  work.then(
    () => done(),
    (error: unknown) => done(located(error, { stage: 'artifact-writer' })),
  );
};

/**
 * Opens all targets, then makes the writer. Call it before opening the source, because a peer may
 * open our output first. Waits for the readers of all FIFOs at the same time; if a target fails or
 * `signal` aborts, stops waiting for the others and leaves nothing behind.
 */
export const openArtifacts = async (
  targets: Targets,
  { signal, fsync }: Pick<OutputOptions, 'signal' | 'fsync'> = {},
): Promise<ArtifactWriter> => {
  refuseSameFile(filesOf(targets));
  const failed = new AbortController();
  const stop = (): void => failed.abort(signal?.reason);
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop);
  const opened = await Promise.allSettled(
    Object.entries(targets).map(async ([artifact, target]) => {
      try {
        const output = await openTarget(target, { signal: failed.signal, fsync });
        // the keys of Targets are artifacts
        return [
          artifact as Artifact,
          { output, finished: false, name: undefined, secret: false },
        ] as const;
      } catch (error) {
        const placed = located(error, { stage: 'artifact-writer', artifact });
        failed.abort(placed);
        throw placed;
      }
    }),
  );
  signal?.removeEventListener('abort', stop);
  const outputs = opened.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
  if (failed.signal.aborted) {
    await Promise.allSettled(outputs.map(([, { output }]) => output.abandon()));
    throw failed.signal.reason;
  }
  return new ArtifactWriter(new Map<Artifact, Open>(outputs));
};

const filesOf = (targets: Targets): NamedFile[] =>
  Object.entries(targets).flatMap(([name, target]) =>
    'path' in target ? [{ name, path: target.path }] : [],
  );

const openTarget = async (target: Target, options: OutputOptions): Promise<Output> => {
  if ('path' in target) return openOutput(target.path, options);
  if ('stream' in target) return streamOutput(target.stream);
  if ('directory' in target) {
    return (target.late ? openOutputLate : openOutputInDirectory)(target.directory, options);
  }
  return discardOutput();
};
