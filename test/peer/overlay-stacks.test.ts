/**
 * Random stacks: merged, built one over the other, and as tars, they are what GNU tar makes of them
 * when it extracts one layer after another, after the whiteouts of each have deleted what they name.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { temporaryDirectory } from '../support/process/fs.js';
import { builtStack, linesBelow, linesOf } from '../support/images/stack-lines.js';
import { tarOf, type TarEntry } from '../support/tar/tar.js';
import { applyLayer, layerOf, stackSteps } from '../support/tar/tar-stacks.js';

const isGnuTar = (spawnSync('tar', ['--version']).stdout?.toString() ?? '').includes('GNU tar');
const skip = !isGnuTar && 'needs GNU tar';

/** Thousands of processes: seconds on a machine that is idle, minutes on one that is not. */
t.setTimeout(900_000);

/** What GNU tar makes of the layers, in a folder of their own. */
const extracted = async (
  folder: string,
  layers: readonly (readonly TarEntry[])[],
): Promise<string[]> => {
  fs.mkdirSync(folder);
  try {
    for (const [n, entries] of layers.entries()) await applyLayer(folder, entries, n === 0);
    return linesBelow(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
};

t.test('1,000 random stacks', { skip, timeout: 900_000 }, async t => {
  const work = temporaryDirectory(t);
  let runs = 0;
  let hidden = 0;
  await fc.assert(
    fc.asyncProperty(stackSteps, async stack => {
      const layers = stack.map((steps, n) => layerOf(steps, n > 0));
      const [due, { images, blobs }] = await Promise.all([
        extracted(path.join(work, `due-${runs++}`), layers),
        builtStack(layers.map(entries => tarOf(entries))),
      ]);
      for (const [what, image] of Object.entries(images)) {
        const got = await linesOf(image, blobs);
        const wrong = got.find((line, i) => line !== due[i]) ?? due[got.length];
        if (wrong !== undefined) throw new Error(`${what}: ${wrong}`);
      }
      const names = layers.flat().filter(({ name }) => !name.includes('.wh.'));
      if (due.length < new Set(names.map(({ name }) => name)).size) hidden++;
    }),
    { numRuns: 1000 },
  );
  t.equal(runs, 1000);
  t.ok(hidden > 100, `in ${hidden} of them something is hidden`);
});
