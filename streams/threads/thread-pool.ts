/**
 * The threads of the process, which all builds in it share. A build hands over slabs of memory, and
 * whatever threads have no time for is done in this thread, which would otherwise have to wait.
 *
 * A thread is started when this one has done so much of their work that starting one would have
 * paid: a small layer needs none, and a large one soon has what the machine can give. Threads live
 * as long as the process, and do not keep it alive. What comes out does not depend on them.
 */
import type { Worker } from 'node:worker_threads';
import type { RunMemory } from '../../lib/chunk/compress-run.js';
import { performerOf, type Perform, type Task, type TaskAnswers, type TaskKind } from './tasks.js';
import { errorOf, type Answer, type Message } from './thread-messages.js';
import { newThread } from './threads.js';

/** Memory for parts of some bytes, and for what they are compressed to. */
export interface Slab extends RunMemory {
  readonly id: number;
}

/** A job on its way. */
export interface Running<A> {
  readonly done: Promise<A>;
  readonly isReady: boolean;
}

export interface ClientOptions {
  /** most threads to use; 0: everything is done in this one */
  workers: number;
  /** jobs build on those before them, so they all go to the same thread */
  isRun?: boolean;
}

/** Threads have enough with this many jobs besides those in progress. */
const STOCK = 3;
/** Work in this thread that makes it worth starting another, in milliseconds. */
const START_MS = 60;
/** Threads that could not be started, before no more are tried. */
const MOST_FAILURES = 3;

interface Thread {
  readonly worker: Worker;
  /** it has loaded what it needs */
  isReady: boolean;
  /** it does a task without an end in sight, so it gets nothing else */
  isBusy: boolean;
  /** it holds memory that is not needed, so it ends when its tasks are over */
  isRetired: boolean;
  readonly jobs: Map<number, Waiting>;
  /** how many jobs it was given */
  given: number;
  /** how many it has done, even if their answers have not been received yet */
  readonly done: Int32Array<SharedArrayBuffer>;
  /** ids of the slabs and tasks that it has */
  readonly slabs: Set<number>;
  readonly tasks: Set<number>;
}

interface Waiting {
  resolve(made: TaskAnswers[TaskKind]): void;
  reject(error: Error): void;
}

let lastId = 0;

export interface ThreadPoolOptions {
  /** makes a thread; `done` is shared with it */
  start?: (done: SharedArrayBuffer) => Worker;
  /** work in this thread that makes it worth starting another, in milliseconds */
  startAfter?: number;
}

export class ThreadPool {
  readonly #threads: Thread[] = [];
  readonly #startThread: (done: SharedArrayBuffer) => Worker;
  readonly #startAfter: number;
  /** milliseconds of work in this thread since a thread was started */
  #spent = 0;
  #failures = 0;

  constructor({ start = newThread, startAfter = START_MS }: ThreadPoolOptions = {}) {
    this.#startThread = start;
    this.#startAfter = startAfter;
  }

  /** How many threads there are, ready or not. */
  get size(): number {
    return this.#threads.length;
  }

  /** Starts threads until there are `count`: for whoever knows that there is much to do. */
  start(count: number): void {
    while (this.#threads.length < count && this.#failures < MOST_FAILURES) this.#start();
  }

  /** Somebody who has a task; `prepareTask` must have resolved. */
  client<K extends TaskKind>(task: Task<K>, options: ClientOptions): PoolClient<K> {
    return new PoolClient(this, task, options);
  }

  /** Whether a job should wait for none of the threads. */
  haveEnough(workers: number): boolean {
    const ready = this.#usable(workers);
    const jobs = ready.reduce((sum, thread) => sum + left(thread), 0);
    return ready.length === 0 || jobs >= ready.length + STOCK;
  }

  /** Counts work in this thread, and starts another if that would have paid. */
  spend(ms: number, workers: number): void {
    this.#spent += ms;
    const count = this.#threads.length;
    if (count >= workers || this.#failures >= MOST_FAILURES) return;
    if (this.#threads.some(({ isReady }) => !isReady)) return;
    if (this.#spent * (count + 1) >= this.#startAfter) this.#start();
  }

  /** The thread that will be done first. */
  idlest(workers: number): Thread {
    return this.#usable(workers).reduce((a, b) => (left(b) < left(a) ? b : a));
  }

  /** A thread for a run of jobs: one that is ready, or else the one that will be first. */
  forRun(workers: number): Thread {
    if (this.#usable(workers).length > 0) return this.idlest(workers);
    return this.#threads.slice(0, workers).find(isFree) ?? this.#start();
  }

  /** A thread that does nothing but one long job, and is the others' again after it. */
  async alone<K extends TaskKind>(task: Task<K>): Promise<TaskAnswers[K]> {
    const idle = this.#threads.find(thread => isFree(thread) && thread.tasks.size === 0);
    const thread = idle ?? this.#start();
    const id = ++lastId;
    thread.isBusy = true;
    try {
      return (await this.post(thread, { task: task as Task, id })) as TaskAnswers[K];
    } finally {
      thread.isBusy = false;
      this.forget(id);
    }
  }

  post(
    thread: Thread,
    {
      task,
      id,
      slab,
      sizes = [],
    }: { task: Task; id: number; slab?: Slab; sizes?: readonly number[] },
  ): Promise<TaskAnswers[TaskKind]> {
    return new Promise((resolve, reject) => {
      if (!this.#threads.includes(thread)) {
        reject(new Error('the thread with what this builds on has ended'));
        return;
      }
      const job = ++lastId;
      const message: Message = {
        job,
        task: id,
        sizes,
        ...(thread.tasks.has(id) ? {} : { options: task }),
        ...(slab ? { slab: slab.id } : {}),
        ...(!slab || thread.slabs.has(slab.id)
          ? {}
          : { memory: { plain: slab.plain, packed: slab.packed } }),
      };
      thread.tasks.add(id);
      if (slab) thread.slabs.add(slab.id);
      if (thread.jobs.size === 0) thread.worker.ref();
      thread.jobs.set(job, { resolve, reject });
      thread.given++;
      thread.worker.postMessage(message);
    });
  }

  /** A task is over: no thread needs it any more. */
  forget(id: number): void {
    for (const thread of [...this.#threads]) {
      const { worker, tasks } = thread;
      if (tasks.delete(id)) worker.postMessage({ forget: id } satisfies Message);
      this.#endIfRetired(thread);
    }
  }

  /** These slabs are not used any more: the threads that have them end, others start when needed. */
  drop(slabs: readonly Slab[]): void {
    for (const thread of [...this.#threads]) {
      if (slabs.some(({ id }) => thread.slabs.has(id))) thread.isRetired = true;
      this.#endIfRetired(thread);
    }
  }

  /** Ends all threads; what they were doing fails. Others are started when they are needed. */
  async close(): Promise<void> {
    const ended = this.#threads.splice(0);
    // first, since an answer on its way would let the process end before its threads have
    for (const { jobs } of ended) failAll(jobs, new Error('the threads were ended'));
    await Promise.all(ended.map(({ worker }) => worker.terminate()));
  }

  #usable(workers: number): Thread[] {
    return this.#threads.slice(0, workers).filter(thread => thread.isReady && isFree(thread));
  }

  #endIfRetired(thread: Thread): void {
    if (!thread.isRetired || thread.isBusy || thread.tasks.size > 0) return;
    this.#threads.splice(this.#threads.indexOf(thread), 1);
    void thread.worker.terminate();
  }

  #start(): Thread {
    this.#spent = 0;
    const done = new Int32Array(new SharedArrayBuffer(4));
    const worker = this.#startThread(done.buffer);
    const thread: Thread = {
      worker,
      isReady: false,
      isBusy: false,
      isRetired: false,
      jobs: new Map(),
      given: 0,
      done,
      slabs: new Set(),
      tasks: new Set(),
    };
    worker.on('message', (answer: Answer | 'ready') => {
      if (answer === 'ready') {
        thread.isReady = true;
        this.#failures = 0;
      } else settle(thread, answer);
    });
    worker.on('error', error => this.#lose(thread, error));
    worker.on('exit', status => {
      this.#lose(thread, new Error(`a thread ended with status ${status}`));
    });
    worker.unref(); // listeners keep it alive
    this.#threads.push(thread);
    return thread;
  }

  /** A thread is gone, and with it what it was doing. */
  #lose(thread: Thread, error: Error): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
    if (at >= 0 && !thread.isReady) this.#failures++;
    failAll(thread.jobs, error);
  }
}

/** One task and its jobs. */
export class PoolClient<K extends TaskKind> {
  readonly #pool: ThreadPool;
  readonly #task: Task<K>;
  readonly #id = ++lastId;
  readonly #options: ClientOptions;
  #here: Perform<K> | undefined;
  /** the thread of a run */
  #thread: Thread | undefined;

  constructor(pool: ThreadPool, task: Task<K>, options: ClientOptions) {
    this.#pool = pool;
    this.#task = task;
    this.#options = options;
  }

  /** Whether jobs of a run are bound to a thread. */
  get isBound(): boolean {
    return this.#thread !== undefined;
  }

  /** Binds the jobs of a run to a thread, which is started if there is none. */
  bind(): void {
    this.#thread ??= this.#pool.forRun(this.#options.workers);
  }

  /** Does the task for what lies at the start of a slab, in parts of these sizes. */
  run(slab: Slab, sizes: readonly number[]): Running<TaskAnswers[K]> {
    const { workers, isRun = false } = this.#options;
    if (isRun ? !this.#thread : this.#pool.haveEnough(workers)) return this.#runHere(slab, sizes);
    const thread = this.#thread ?? this.#pool.idlest(workers);
    const job = { task: this.#task as Task, id: this.#id, slab, sizes };
    const done = this.#pool.post(thread, job) as Promise<TaskAnswers[K]>; // of this kind of task
    const running = { done, isReady: false };
    const settled = (): void => void (running.isReady = true);
    done.then(settled, settled); // a failure is reported to whoever awaits it
    return running;
  }

  /** No more jobs come, and all have been answered. */
  close(): void {
    this.#pool.forget(this.#id);
  }

  #runHere(slab: Slab, sizes: readonly number[]): Running<TaskAnswers[K]> {
    const started = performance.now();
    try {
      this.#here ??= performerOf(this.#task);
      return { done: Promise.resolve(this.#here(slab, sizes)), isReady: true };
    } finally {
      this.#pool.spend(performance.now() - started, this.#options.workers);
    }
  }
}

/** Whether it takes jobs of anybody. */
const isFree = ({ isBusy, isRetired }: Thread): boolean => !isBusy && !isRetired;

const failAll = (jobs: Map<number, Waiting>, error: Error): void => {
  for (const job of jobs.values()) job.reject(error);
  jobs.clear();
};

const settle = (thread: Thread, answer: Answer): void => {
  const { jobs, worker } = thread;
  const waiting = jobs.get(answer.job);
  if (!waiting) return;
  jobs.delete(answer.job);
  if (jobs.size === 0) worker.unref();
  if ('failure' in answer) waiting.reject(errorOf(answer.failure));
  else waiting.resolve(answer.made);
};

/** Jobs that a thread has yet to do. Answers do not tell: they wait while this thread is busy. */
const left = ({ given, done }: Thread): number => given - Atomics.load(done, 0);

/** That of the process. */
export const threadPool = new ThreadPool();
