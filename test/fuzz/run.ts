/**
 * npm run fuzz: changed inputs for every parser and for whole ways through the program.
 *
 *     npm run fuzz -- --seconds 600 --seed 7 --only tar
 *     npm run fuzz -- --only tar --seed 7 --input 4711     one input again
 *
 * Each target runs in a thread. A finding is an exception that is no RafsError, two ways that
 * disagree, an input that takes over ten seconds, or one for which memory grows by over 256 MiB.
 * The input is written to fuzz-findings/. Ends with status 1 if there is any.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { RafsError } from '../../lib/errors.js';
import { numbers } from '../support/random.js';
import { DEVICE } from './device-target.js';
import { IMAGES } from './image-targets.js';
import { mutate } from './mutators.js';
import { PARSERS } from './parser-targets.js';
import type { Seed, Target } from './target.js';

export const TARGETS: readonly Target[] = [...PARSERS, ...IMAGES, DEVICE];

const HANG_MS = 10_000;
const MOST_GROWTH = 0x10000000;

interface Job {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  /** how many inputs, or until the thread is told to stop */
  readonly count: number;
  readonly shared: SharedArrayBuffer;
}

export interface Finding {
  readonly target: string;
  readonly input: number;
  readonly why: string;
}

/** The changed input of that number: always the same one. */
export const inputOf = (
  target: Target,
  seeds: readonly Seed[],
  seed: number,
  input: number,
): { bytes: Buffer; next: (limit: number) => number } => {
  const next = numbers(Math.imul(seed, 0x9e3779b1) ^ (input + 1));
  for (let i = 0; i < 8; i++) next(2);
  const from = seeds[next(seeds.length)]!;
  const changed = target.change?.(from, next) ?? mutate(from.bytes, from.fields, next);
  return { bytes: target.repair?.(changed, from, next) ?? changed, next };
};

/** Runs one input; undefined if all is well. */
export const tried = async (
  target: Target,
  bytes: Buffer,
  next: (limit: number) => number,
): Promise<string | undefined> => {
  const before = process.resourceUsage().maxRSS;
  try {
    await target.run(bytes, next);
  } catch (error) {
    if (!(error instanceof RafsError)) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }
  const growth = (process.resourceUsage().maxRSS - before) * 1024;
  return growth > MOST_GROWTH ? `memory grew by ${growth} bytes` : undefined;
};

const work = async ({ target: name, seed, from, count, shared }: Job): Promise<void> => {
  const target = TARGETS.find(one => one.name === name)!;
  const state = stateOf(shared);
  const seeds = await target.seeds();
  Atomics.store(state, READY, 1);
  for (let input = from; input < from + count && Atomics.load(state, STOP) === 0; input++) {
    Atomics.store(state, INPUT, input);
    const { bytes, next } = inputOf(target, seeds, seed, input);
    const why = await tried(target, bytes, next);
    if (why) parentPort!.postMessage({ target: name, input, why } satisfies Finding);
  }
  Atomics.store(state, ENDED, 1);
};

/** What a thread and its starter share: numbers by these places. */
const stateOf = (shared: SharedArrayBuffer): Int32Array => new Int32Array(shared);
/** the input under way; the thread is to stop; it has its seeds; it has stopped by itself */
const [INPUT, STOP, READY, ENDED] = [0, 1, 2, 3] as const;

/** Runs a target for a while; returns how many inputs it has had. */
const fuzz = async (
  name: string,
  { seed, seconds, from, count }: { seed: number; seconds: number; from: number; count: number },
  report: (finding: Finding) => void,
): Promise<number> => {
  let left = seconds * 1000; // of the time that the thread has its seeds
  let at = from;
  while (left > 0 && at < from + count) {
    const shared = new SharedArrayBuffer(16);
    const state = stateOf(shared);
    Atomics.store(state, INPUT, at);
    const job: Job = { target: name, seed, from: at, count: from + count - at, shared };
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: job });
    worker.on('message', report);
    const ended = new Promise<void>(resolve => {
      worker.on('error', error => {
        report({
          target: name,
          input: Atomics.load(state, INPUT),
          why: error.stack ?? error.message,
        });
        resolve();
      });
      worker.on('exit', () => resolve());
    });
    let last = -1;
    let before = Date.now();
    let since = before;
    const timer = setInterval(() => {
      const now = Date.now();
      const input = Atomics.load(state, INPUT);
      if (input !== last || Atomics.load(state, READY) === 0) [last, since] = [input, now];
      else if (now - since >= HANG_MS) {
        report({ target: name, input, why: `still at work after ${HANG_MS} ms` });
        void worker.terminate();
      }
      if (Atomics.load(state, READY) === 1) left -= now - before;
      before = now;
      if (left <= 0) Atomics.store(state, STOP, 1);
    }, 50);
    await ended;
    clearInterval(timer);
    at = Atomics.load(state, INPUT) + 1; // go on behind the input that ended the thread
    if (Atomics.load(state, ENDED) === 1) break;
  }
  return at - from;
};

const save = async (finding: Finding, seed: number): Promise<string> => {
  const target = TARGETS.find(one => one.name === finding.target)!;
  const { bytes } = inputOf(target, await target.seeds(), seed, finding.input);
  fs.mkdirSync('fuzz-findings', { recursive: true });
  const file = path.join('fuzz-findings', `${finding.target}-${seed}-${finding.input}`);
  fs.writeFileSync(file, bytes);
  return file;
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      input: { type: 'string' },
    },
  });
  const seed = Number(values.seed);
  const names = TARGETS.map(({ name }) => name).filter(
    name => !values.only || name === values.only,
  );
  if (names.length === 0) throw new Error(`no target '${values.only!}'`);
  const one = values.input === undefined ? {} : { from: Number(values.input), count: 1 };
  const seconds = Number(values.seconds) / names.length;
  let total = 0;
  let findings = 0;
  for (const name of names) {
    const found: Finding[] = [];
    const range = { from: 0, count: 0x7fffffff, ...one };
    const count = await fuzz(
      name,
      { seed, seconds, ...range },
      finding => void found.push(finding),
    );
    if (count === 0) found.push({ target: name, input: 0, why: 'no input was tried' });
    total += count;
    findings += found.length;
    process.stdout.write(
      `${name.padEnd(16)}${String(count).padStart(9)} inputs, ${found.length} found\n`,
    );
    for (const finding of found.slice(0, 5)) {
      const file = await save(finding, seed);
      process.stdout.write(`  ${file}: ${finding.why.split('\n').slice(0, 4).join(' | ')}\n`);
    }
  }
  process.stdout.write(`${total} inputs, ${findings} found\n`);
  return findings === 0 ? 0 : 1;
};

if (!isMainThread && workerData) await work(workerData as Job);
else if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
