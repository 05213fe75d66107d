import fc from 'fast-check';
import t from 'tap';
import { Space } from '../../../../lib/bootstrap/v6/inode-space.js';
import { ModelSpace } from '../../../support/model/model-layout.js';

type Step = { take: number } | { append: number } | { leave: true } | { align: number };

const steps = (blockSize: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ take: fc.integer({ min: 1, max: blockSize + 40 }) }) },
      { weight: 4, arbitrary: fc.record({ append: fc.nat(blockSize * 2) }) },
      { weight: 3, arbitrary: fc.constant({ leave: true } as const) },
      { weight: 2, arbitrary: fc.record({ align: fc.constantFrom(32, blockSize) }) },
    ),
    { maxLength: 300, size: 'max' },
  );

for (const blockSize of [4096, 512]) {
  t.test(`blocks of ${blockSize}: every place is the one the format prescribes`, async () => {
    fc.assert(
      fc.property(steps(blockSize), steps => {
        const space = new Space(blockSize);
        const naive = new ModelSpace(blockSize);
        for (const step of steps) {
          if ('take' in step) {
            if (space.take(step.take) !== naive.take(step.take)) return false;
          } else if ('append' in step) {
            if (space.append(step.append) !== naive.append(step.append)) return false;
          } else if ('align' in step) {
            space.align(step.align);
            naive.align(step.align);
          } else {
            space.leaveBlock();
            naive.give(naive.off);
            naive.align(blockSize);
          }
          if (space.cursor !== naive.off) return false;
          if (space.room !== blockSize - (naive.off % blockSize)) return false;
        }
        return true;
      }),
      { numRuns: 300 },
    );
  });

  t.test(`blocks of ${blockSize}: places do not overlap and stay in one block`, async () => {
    fc.assert(
      fc.property(steps(blockSize), steps => {
        const space = new Space(blockSize);
        const taken: [from: number, to: number][] = [];
        for (const step of steps) {
          space.align(32);
          if ('take' in step) {
            const at = space.take(step.take);
            if (at === 0) continue;
            if (at % 32 !== 0) return false;
            if (Math.floor(at / blockSize) !== Math.floor((at + step.take - 1) / blockSize)) {
              return false;
            }
            taken.push([at, at + step.take]);
          } else if ('append' in step) {
            const at = space.append(step.append);
            if (step.append > 0) taken.push([at, at + step.append]);
          } else space.leaveBlock();
        }
        taken.sort(([a], [b]) => a - b);
        return taken.every(([from], i) => i === 0 || taken[i - 1]![1] <= from);
      }),
      { numRuns: 300 },
    );
  });
}

t.test('thousands of tails are used first in, first out', async t => {
  const space = new Space(4096);
  for (let i = 0; i < 5000; i++) {
    space.append(4096 - 64);
    space.leaveBlock();
  }
  for (let i = 0; i < 5000; i++) {
    const due = 4096 + i * 4096 + 4032;
    if (space.take(64) !== due) t.fail(`tail ${i}`);
  }
  t.equal(space.take(64), 0);
});
