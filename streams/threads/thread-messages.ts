/** What a process and its threads say to each other. */
import type { RunMemory } from '../../lib/chunk/compress-run.js';
import { RafsError, type Code, type ErrorContext } from '../../lib/errors.js';
import type { Task, TaskAnswers, TaskKind } from './tasks.js';

/** A slab to do a task for; or, that a task is over. */
export type Message = JobMessage | { readonly forget: number };

export interface JobMessage {
  readonly job: number;
  readonly task: number;
  /** only the first time that this thread gets the task */
  readonly options?: Task;
  /** none for a task that needs no memory */
  readonly slab?: number;
  /** only the first time that this thread gets the slab: handing over shared memory is expensive */
  readonly memory?: RunMemory;
  readonly sizes: readonly number[];
}

/** What became of a job. */
export type Answer =
  | { readonly job: number; readonly made: TaskAnswers[TaskKind] }
  | { readonly job: number; readonly failure: Failure };

/** An error on its way between threads, which would lose what kind of error it was. */
export interface Failure {
  readonly message: string;
  readonly code: string | undefined;
  /** of a RafsError */
  readonly at: ErrorContext | undefined;
}

export const failureOf = (error: unknown): Failure => {
  if (error instanceof RafsError) {
    return { message: error.message, code: error.code, at: { ...error.at } };
  }
  const { code } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? error.message : String(error);
  return { message, code, at: undefined };
};

export const errorOf = ({ message, code, at }: Failure): Error => {
  if (at) return new RafsError(code as Code, message, at); // as it was sent
  const error = new Error(message);
  return code === undefined ? error : Object.assign(error, { code });
};
