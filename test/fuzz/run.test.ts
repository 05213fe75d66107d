/** A slice of the fuzzers, the same in every run: they work, and find nothing. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { inputOf, TARGETS, tried } from './run.js';
import { Disagreement, lz4Model } from './oracles.js';
import { lz4Compress } from '../../lib/compress/lz4-block.js';
import { wordyBytes } from '../support/random.js';

/** Inputs by the name of their target, a dot, and what is odd in them. */
const CORPUS = fileURLToPath(new URL('../../../test/fixtures/fuzz/', import.meta.url));

for (const target of TARGETS) {
  t.test(target.name, async t => {
    const seeds = await target.seeds();
    t.ok(seeds.length > 0);
    for (const { name, bytes } of seeds) {
      t.equal(await tried(target, bytes, () => 0), undefined, name);
      await t.resolves(async () => target.run(bytes, () => 0), `${name} is not refused`);
    }
    const distinct = new Set<string>();
    for (let input = 0; input < 60; input++) {
      const { bytes, next } = inputOf(target, seeds, 5, input);
      distinct.add(bytes.toString('latin1'));
      t.ok(bytes.equals(inputOf(target, seeds, 5, input).bytes), 'the same input again');
      const why = await tried(target, bytes, next);
      if (why) t.fail(`input ${input}: ${why}`);
    }
    t.ok(distinct.size > 30, `${distinct.size} distinct inputs`);
  });
}

t.test('inputs that were once a fault', async t => {
  const files = fs.readdirSync(CORPUS);
  t.ok(files.length > 8);
  for (const file of files) {
    const target = TARGETS.find(({ name }) => name === file.split('.')[0])!;
    t.equal(
      await tried(target, fs.readFileSync(path.join(CORPUS, file)), () => 0),
      undefined,
      file,
    );
  }
});

t.test('what is no RafsError is a finding, and so are two ways that disagree', async t => {
  const target = (error: Error) => ({
    name: 'x',
    seeds: () => [],
    run() {
      throw error;
    },
  });
  const next = () => 0;
  t.match(await tried(target(new TypeError('oops')), Buffer.alloc(1), next), /TypeError: oops/);
  t.match(await tried(target(new Disagreement('two')), Buffer.alloc(1), next), /two/);
});

t.test('the model of LZ4 reads what is written', async t => {
  const plain = wordyBytes(5000, 9);
  const block = lz4Compress(plain);
  t.ok(lz4Model(block, plain.length)!.equals(plain));
  t.equal(lz4Model(block, plain.length - 1), undefined);
  t.equal(lz4Model(block.subarray(0, -1), plain.length), undefined);
});
