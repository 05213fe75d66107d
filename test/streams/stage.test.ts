import { Readable, Writable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import chain from 'stream-chain';
import t from 'tap';
import { contextOf } from '../../lib/errors.js';
import { Stage } from '../../streams/stage.js';
import { BatchBuilder, type Batch } from '../../streams/batch.js';
import { collect } from '../support/stream/stage.js';

/** `from` says by which stages a part went and as which of several. */
interface Part {
  from: string;
  bytes?: Buffer;
}

/** How a stage makes its parts. */
const KINDS = ['generator', 'array', 'async', 'slow', 'batch', 'each', 'all'] as const;
type Kind = (typeof KINDS)[number];

/** Where a stage fails. */
type Failure = { at: 'part'; n: number } | { at: 'end' } | { at: 'close' };

interface Plan {
  kind: Kind;
  /** how many parts each part becomes, by its position */
  fans: number[];
  /** parts made at the end */
  ends: number;
  /** whether parts have bytes, so that batches fill by size too */
  heavy: boolean;
  failure?: Failure | undefined;
}

const BYTES = Buffer.alloc(0x10000);

/** The parts a stage makes of the n-th part. */
const made = ({ fans, heavy }: Plan, part: Part, n: number): Part[] =>
  Array.from({ length: fans[n % fans.length]! }, (_, i) => ({
    from: `${part.from}.${i}`,
    ...(heavy ? { bytes: BYTES } : {}),
  }));

const ended = ({ ends }: Plan, name: string): Part[] =>
  Array.from({ length: ends }, (_, i) => ({ from: `${name} end ${i}` }));

/** What the stages make, without streams. */
const modelOf = (plans: readonly Plan[], parts: readonly Part[]): string[] => {
  let now = [...parts];
  plans.forEach((plan, s) => {
    now = [...now.flatMap((part, n) => made(plan, part, n)), ...ended(plan, `stage-${s}`)];
  });
  return now.map(({ from }) => from);
};

const stageOf = (plan: Plan, name: string, closed: () => void): Stage<Part, Part> => {
  let n = 0;
  const work = (part: Part): Part[] => {
    if (plan.failure?.at === 'part' && plan.failure.n === n) throw new Error(`bad ${name}`);
    return made(plan, part, n++);
  };
  const end = (): Part[] => {
    if (plan.failure?.at === 'end') throw new Error(`bad ${name}`);
    return ended(plan, name);
  };
  const close = (): void => {
    closed();
    if (plan.failure?.at === 'close') throw new Error(`bad ${name}`);
  };
  switch (plan.kind) {
    case 'generator':
      return new Stage<Part, Part>(name, {
        *transform(part) {
          yield* work(part);
        },
        *flush() {
          yield* end();
        },
        destroy: close,
      });
    case 'array':
      return new Stage<Part, Part>(name, {
        transform(part) {
          const parts = work(part);
          return parts.length > 0 ? parts : undefined;
        },
        flush: end,
        destroy: close,
      });
    case 'async':
    case 'slow':
      return new Stage<Part, Part>(name, {
        async *transformBatch(parts) {
          for (const part of parts) {
            for (const one of work(part)) {
              if (plan.kind === 'slow') await turn();
              yield one;
            }
          }
        },
        async *flush() {
          await turn();
          yield* end();
        },
        destroy: close,
      });
    case 'batch':
      return new Stage<Part, Part>(name, {
        async *transformBatch(parts) {
          for (const part of parts) yield* work(part);
        },
        flush: end,
        destroy: close,
      });
    case 'each':
      return new Stage<Part, Part>(name, {
        transform(part, push) {
          for (const one of work(part)) push(one);
        },
        flush: end,
        destroy: close,
      });
    case 'all':
      return new Stage<Part, Part>(name, {
        async transformBatch(parts, push) {
          for (const part of parts) {
            await turn();
            for (const one of work(part)) push(one);
          }
        },
        flush: end,
        destroy: close,
      });
  }
};

const plan = fc.record<Plan>({
  kind: fc.constantFrom(...KINDS),
  fans: fc.array(fc.constantFrom(0, 1, 1, 1, 1, 2, 5, 150), { minLength: 1, maxLength: 5 }),
  ends: fc.constantFrom(0, 0, 1, 3, 200),
  heavy: fc.boolean(),
});
const plans = fc.array(plan, { minLength: 1, maxLength: 4 }).filter(
  // keep what a run makes below some ten thousand parts
  plans => plans.reduce((product, { fans }) => product * Math.max(1, ...fans), 1) <= 150,
);
const sizes = fc
  .array(fc.nat(7), { minLength: 1, maxLength: 5 })
  .filter(sizes => sizes.some(Boolean));

interface Run {
  plans: Plan[];
  count: number;
  /** sizes of the batches that come in, over and over; 0 is an empty one */
  sizes: number[];
  slowSource: boolean;
  slowSink: boolean;
  chained: boolean;
}
const run = fc.record<Run>({
  plans,
  count: fc.nat(40),
  sizes,
  slowSource: fc.boolean(),
  slowSink: fc.boolean(),
  chained: fc.boolean(),
});

const partsOf = (count: number): Part[] =>
  Array.from({ length: count }, (_, i) => ({ from: `${i}` }));

async function* batches(
  { count, sizes, slowSource }: Run,
  failAt = Infinity,
): AsyncIterable<Part[]> {
  const parts = partsOf(count);
  for (let i = 0, at = 0; at < parts.length; i++) {
    if (at >= failAt) throw new Error('bad source');
    if (slowSource) await turn();
    const size = sizes[i % sizes.length]!;
    yield parts.slice(at, at + size);
    at += size;
  }
  if (failAt <= count) throw new Error('bad source');
}

/** Turns of the event loop in which the largest of these pipelines would end many times over. */
const LATE = 400_000;
const inTime = async <T>(work: Promise<T>): Promise<T> => {
  let over = false;
  const ended = work.finally(() => (over = true));
  ended.catch(() => undefined); // it is awaited below
  for (let turns = 0; !over; turns++) {
    if (turns === LATE) throw new Error('the pipeline hangs');
    await turn();
  }
  return ended;
};

interface Outcome {
  out: string[];
  error: unknown;
  closes: number[];
}

/** Runs stages between a source and a sink; `stop` makes a sink fail or the run be aborted. */
const outcomeOf = async (
  of: Run,
  {
    failSource,
    failSink,
    abortAt,
  }: { failSource?: number; failSink?: number; abortAt?: number } = {},
): Promise<Outcome> => {
  const closes = of.plans.map(() => 0);
  const stages = of.plans.map((plan, s) => stageOf(plan, `stage-${s}`, () => closes[s]!++));
  const out: string[] = [];
  const abort = new AbortController();
  const sink = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(batch: Batch<Part>, _encoding, done) {
      if (batch.length === 0) {
        done(new Error('an empty batch'));
        return;
      }
      for (const { from } of batch) out.push(from);
      if (abortAt !== undefined && out.length > abortAt) abort.abort();
      const error = failSink !== undefined && out.length > failSink ? new Error('bad sink') : null;
      if (of.slowSink) setImmediate(done, error);
      else done(error);
    },
  });
  const source = Readable.from(batches(of, failSource), { highWaterMark: 1 });
  const between: Duplex[] = of.chained ? [chain(stages)] : stages;
  let error: unknown;
  try {
    await inTime(pipeline([source, ...between, sink], { signal: abort.signal }));
  } catch (failure) {
    error = failure;
  }
  for (let i = 0; i < 4; i++) await turn(); // streams are destroyed in later turns
  return { out, error, closes };
};

const isPrefix = (part: readonly string[], whole: readonly string[]): boolean =>
  part.every((name, i) => name === whole[i]);

t.test('any pipeline gives all parts in their order, and closes every stage once', async t => {
  await fc.assert(
    fc.asyncProperty(run, async of => {
      const { out, error, closes } = await outcomeOf(of);
      if (error) throw error as Error; // what a pipeline rejects with
      t.ok(out.join() === modelOf(of.plans, partsOf(of.count)).join(), 'the same parts');
      t.ok(
        closes.every(count => count === 1),
        `closed ${closes.join()} times`,
      );
    }),
    { numRuns: 150 },
  );
});

t.test('a stage that fails names itself; what came before it is in order', async t => {
  const failing = fc
    .tuple(
      run.filter(({ count }) => count > 0),
      fc.nat(3),
      fc.oneof(
        fc.record({ at: fc.constant('part' as const), n: fc.nat(3) }),
        fc.constant({ at: 'end' as const }),
      ),
    )
    .map(([of, s, failure]) => {
      const which = s % of.plans.length;
      // in front of it nothing is dropped, so that it meets the part it fails at
      const plans = of.plans.map((plan, i) =>
        i < which
          ? { ...plan, fans: plan.fans.map(fan => fan || 1) }
          : i === which
            ? {
                ...plan,
                failure: failure.at === 'part' ? { ...failure, n: failure.n % of.count } : failure,
              }
            : plan,
      );
      return { of: { ...of, plans }, which };
    });
  await fc.assert(
    fc.asyncProperty(failing, async ({ of, which }) => {
      const { out, error, closes } = await outcomeOf(of);
      t.match(error, { message: `bad stage-${which}` });
      t.equal(contextOf(error).stage, `stage-${which}`);
      t.ok(isPrefix(out, modelOf(of.plans, partsOf(of.count))));
      t.ok(
        closes.every(count => count === 1),
        `closed ${closes.join()} times`,
      );
    }),
    { numRuns: 150 },
  );
});

t.test('a source or a sink that fails, and an abort: every stage is closed once', async t => {
  const trouble = fc.oneof(
    fc.record({ failSource: fc.nat(30) }),
    fc.record({ failSink: fc.nat(300) }),
    fc.record({ abortAt: fc.nat(300) }),
  );
  await fc.assert(
    fc.asyncProperty(run, trouble, async (of, trouble) => {
      const due = modelOf(of.plans, partsOf(of.count));
      const { out, error, closes } = await outcomeOf(of, trouble);
      if ('failSource' in trouble && trouble.failSource <= of.count)
        t.match(error, { message: 'bad source' });
      if ('failSink' in trouble && trouble.failSink < due.length)
        t.match(error, { message: 'bad sink' });
      if ('abortAt' in trouble && error) t.match(error, { name: 'AbortError' });
      if (!error) t.equal(out.length, due.length);
      t.ok(isPrefix(out, due));
      t.ok(
        closes.every(count => count === 1),
        `closed ${closes.join()} times`,
      );
    }),
    { numRuns: 200 },
  );
});

t.test('a stage that fails to close says so, unless something failed before', async t => {
  const close: Plan = {
    kind: 'generator',
    fans: [1],
    ends: 0,
    heavy: false,
    failure: { at: 'close' },
  };
  const plain: Plan = { kind: 'async', fans: [1], ends: 0, heavy: false };
  const of: Run = {
    plans: [plain, close],
    count: 3,
    sizes: [1],
    slowSource: false,
    slowSink: false,
    chained: false,
  };
  const failed = await outcomeOf({ ...of, plans: [plain, close] }, { failSource: 2 });
  t.match(failed.error, { message: 'bad source' });
  t.same(failed.closes, [1, 1]);

  const stage = stageOf(close, 'alone', () => undefined);
  const error = await new Promise<unknown>(resolve => {
    stage.on('error', resolve);
    stage.destroy();
  });
  t.match(error, { message: 'bad alone', at: { stage: 'alone' } });
});

t.test('a stage without end and close', async t => {
  const stage = new Stage<number, number>('double', { transform: n => [2 * n] });
  t.same(await collect(stage, [1, 2, 3], { batch: 2 }), [2, 4, 6]);
});

t.test('a stage that makes nothing', async t => {
  const stage = new Stage<number, number>('sink', { transform: () => undefined });
  t.same(await collect(stage, [1, 2, 3]), []);
});

t.test('what a handler throws that is no error becomes one', async t => {
  const stage = new Stage<number, number>('odd', {
    transform() {
      throw 'text' as unknown; // what a foreign module may do
    },
  });
  await t.rejects(collect(stage, [1]), { message: 'text', at: { stage: 'odd' } });
});

t.test('parts are not made faster than they are read', async t => {
  for (const kind of ['sync', 'async'] as const) {
    let made = 0;
    const endless = new Stage<number, Buffer>('endless', {
      ...(kind === 'sync'
        ? {
            *transform() {
              for (;;) yield Buffer.alloc(1, made++);
            },
          }
        : {
            async *transformBatch() {
              for (;;) yield Buffer.alloc(1, made++);
            },
          }),
    });
    endless.write([1]);
    for (let i = 0; i < 20; i++) await turn();
    // a batch has 128 parts, and two batches wait for the reader
    t.ok(made <= 3 * 128, `${kind}: ${made} made before anything is read`);
    const before = made;
    t.equal((endless.read() as Buffer[]).length, 128);
    for (let i = 0; i < 20; i++) await turn();
    t.ok(made > before && made <= before + 2 * 128, `${kind}: ${made} made`);
    endless.destroy();
    for (let i = 0; i < 20; i++) await turn();
    const after = made;
    for (let i = 0; i < 20; i++) await turn();
    t.equal(made, after, `${kind}: none after it is destroyed`);
  }
});

t.test('batches are cut by number and by bytes', async t => {
  const batchesOf = async (count: number, size: number): Promise<number[]> => {
    const stage = new Stage<number, { bytes: Buffer }>('cut', {
      *transform() {
        for (let i = 0; i < count; i++) yield { bytes: Buffer.alloc(size) };
      },
    });
    const sizes: number[] = [];
    stage.on('data', (batch: Batch<unknown>) => sizes.push(batch.length));
    stage.end([1]);
    await new Promise(resolve => stage.on('close', resolve));
    return sizes;
  };
  t.same(await batchesOf(300, 1), [128, 128, 44]);
  t.same(await batchesOf(2, 0x1000000), [1, 1], 'one large part is a batch');
  // a batch has less than a megabyte before its last part
  const sizes = await batchesOf(100, 0x8000);
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    100,
  );
  t.ok(
    sizes.every(size => size > 0 && (size - 1) * 0x8000 < 0x100000),
    sizes.join(),
  );
});

t.test('generators that are left are finished, so that what they hold is given back', async t => {
  for (const kind of ['sync', 'async'] as const) {
    for (const wait of ['reader', 'nothing'] as const) {
      let left = 0;
      const stage = new Stage<number, number>('holder', {
        ...(kind === 'sync'
          ? {
              *transform() {
                try {
                  for (let i = 0; wait === 'reader' || i < 3; i++) yield i;
                } finally {
                  left++;
                }
              },
            }
          : {
              async *transformBatch() {
                try {
                  for (let i = 0; wait === 'reader' || i < 3; i++) {
                    await turn();
                    yield i;
                  }
                } finally {
                  left++;
                }
              },
            }),
      });
      stage.write([1]);
      if (wait === 'reader') for (let i = 0; i < 500; i++) await turn();
      stage.destroy();
      for (let i = 0; i < 20; i++) await turn();
      t.equal(left, 1, `${kind}, waiting for ${wait}`);
    }
  }
});

t.test('a batch of a source is full by its parts or by their bytes', async t => {
  const batch = new BatchBuilder<number>();
  t.ok(batch.isEmpty);
  for (let i = 0; i < 127; i++) batch.add(i);
  t.notOk(batch.isFull);
  t.notOk(batch.isEmpty);
  batch.add(127);
  t.ok(batch.isFull);
  t.same(
    batch.take(),
    Array.from({ length: 128 }, (_, i) => i),
  );
  t.ok(batch.isEmpty, 'the next one');
  batch.add(1, 0x7ffff);
  t.notOk(batch.isFull);
  batch.add(2, 1);
  t.ok(batch.isFull);
  t.same(batch.take(), [1, 2]);
  batch.add(3);
  t.notOk(batch.isFull, 'bytes are counted anew');
});
