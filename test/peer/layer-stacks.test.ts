/**
 * Random stacks of layers, as no packer writes them but any may hold: merged, built one over the
 * other and as Tarfs, they are what containerd makes of them.
 */
import fc from 'fast-check';
import t from 'tap';
import { firstDifference, imageNames } from '../support/images/image-names.js';
import { builtStack } from '../support/images/stack-lines.js';
import { layerJudge } from '../support/peers/layer-judge.js';
import { layerStacks, stackOf } from '../support/tar/layer-stacks.js';
import { tarOf, type TarEntry } from '../support/tar/tar.js';

const RUNS = Number(process.env.STACKS ?? 400);
const shown = (layers: readonly (readonly TarEntry[])[]): string =>
  layers.map(entries => entries.map(entry => JSON.stringify(entry)).join('\n')).join('\n---\n');

const { judge, missing } = layerJudge(t);

t.test(`${RUNS} stacks of layers`, { skip: missing, timeout: 600_000 }, async t => {
  const since = Math.floor(Date.now() / 1000) - 1;
  const count = { names: 0, refused: 0, dependent: 0 };
  await fc.assert(
    fc.asyncProperty(layerStacks, fc.constantFrom(5, 6), async (stack, fsVersion) => {
      const { layers, dependent } = stackOf(stack);
      const tars = layers.map(entries => tarOf(entries));
      const due = await judge!.unpack(tars);
      if (!due.names) {
        count.refused++;
        return;
      }
      try {
        const { images, blobs } = await builtStack(tars, { fsVersion, dependent });
        for (const [how, image] of Object.entries(images)) {
          const wrong = firstDifference(await imageNames(image, blobs), due.names, since);
          if (wrong !== undefined) throw new Error(`v${fsVersion}, ${how}: ${wrong}`);
        }
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${shown(layers)}`, { cause: error });
      }
      count.names += due.names.length;
      if (dependent) count.dependent++;
    }),
    { numRuns: RUNS },
  );
  t.equal(count.refused, 0, 'containerd takes them all');
  t.ok(count.names > 5 * RUNS, `with ${count.names} names`);
  t.ok(count.dependent > RUNS / 50, `${count.dependent} with a hardlink to a lower layer`);
});
