/** Flat images: what they show is what the layers show, one laid over the other. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { convertImage } from '../../streams/convert/convert-image.js';
import { compareImages } from '../../streams/nydus/compare-images.js';
import { openImageSource, openImageTarget } from '../../streams/transport/open-transport.js';
import {
  configOf,
  layoutOf,
  taggedManifest,
  withoutProgram,
} from '../support/images/oci-layout.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { factsBelow } from '../support/peers/erofs-tools.js';
import { layerOf, stackSteps } from '../support/tar/tar-stacks.js';
import { tarOf, type TarEntry } from '../support/tar/tar.js';

const file = (name: string, content: string): TarEntry => ({ name, content, mode: 0o644 });
const directory = (name: string, mode: number): TarEntry => ({ name, type: '5', mode });
const link = (name: string, target: string): TarEntry => ({
  ...{ name, type: '1', link: target },
  mode: 0o644,
});

/** Layers, the lowest first. */
const STACKS: Record<string, TarEntry[][]> = {
  'names that upper layers replace and remove': [
    [directory('d/', 0o750), file('d/a', 'lower'), file('d/b', 'lower'), file('e', 'lower')],
    [file('d/a', 'upper'), file('.wh.e', '')],
    [file('d/c', 'top')],
  ],
  'an opaque directory, and its attributes': [
    [directory('d/', 0o711), file('d/a', '1'), directory('d/s/', 0o700), file('d/s/x', '2')],
    [file('d/.wh..wh..opq', ''), file('d/new', '3')],
  ],
  'a directory where a file was, where a directory was': [
    [directory('d/', 0o700), file('d/old', '1')],
    [file('d', 'a file')],
    [directory('d/', 0o755), file('d/new', '2')],
  ],
  'the same, with a directory that no layer names': [
    [directory('d/', 0o700), file('d/old', '1')],
    [file('d', 'a file')],
    [file('d/new', '2')],
  ],
  'a hardlink to a name that is hidden': [
    [file('a', 'content of a'), link('b', 'a'), link('c', 'b'), link('x/y/d', 'a')],
    [file('a', 'another')],
  ],
  'a hardlink to a name that is removed, and hidden links': [
    [file('a', 'content'), link('b', 'a'), link('c', 'a'), file('z', 'z'), link('y', 'z')],
    [file('.wh.a', ''), file('.wh.c', ''), file('.wh.y', '')],
  ],
  'a link that its layer replaces': [
    [file('a', 'content'), link('b', 'a'), file('b', 'own'), link('c', 'a')],
    [file('a', 'another')],
  ],
  'an entry that comes twice': [
    [file('a', 'first'), link('b', 'a'), file('a', 'second'), link('c', 'a')],
    [file('n', '')],
  ],
  'nothing at all below': [[directory('only/', 0o755)], [directory('e/', 0o700)]],
};

const KINDS = { v6: [], v5: ['--fs-version', '5'], batches: ['--batch-size', '0x4000'] };

const withoutUmoci = withoutProgram('umoci', '--version');

for (const [what, layers] of Object.entries(STACKS)) {
  t.test(what, async t => {
    const cwd = temporaryDirectory(t);
    layoutOf(path.join(cwd, 'src'), { layers: layers.map(entries => ({ tar: tarOf(entries) })) });
    const run = (...argv: string[]) => succeed(t, argv, { cwd });
    for (const [kind, options] of Object.entries(KINDS)) {
      const name = `oci:flat-${kind}:t`;
      await run('convert', '-l', 'warn', '--flatten', 'oci:src:t', name, ...options);
      await run('check', '-l', 'warn', '--source', 'oci:src:t', name);
      const manifest = taggedManifest(path.join(cwd, `flat-${kind}`), 't');
      t.equal(manifest.layers.length, 2, 'a data layer and the bootstrap');
    }
    // umoci does not unpack a file in a directory that no layer names, where another layer has a file
    if (withoutUmoci || what.endsWith('that no layer names')) return;
    await run('convert', '-l', 'warn', '--reverse', 'oci:flat-v6:t', 'oci:back:t');
    for (const name of ['src', 'back']) {
      const argv = ['unpack', '--image', `${name}:t`, `unpacked-${name}`];
      execFileSync('umoci', argv, { cwd, stdio: 'ignore' });
    }
    const [due, found] = ['src', 'back'].map(name =>
      factsBelow(path.join(cwd, `unpacked-${name}/rootfs`)),
    );
    t.same([...found!.keys()].sort(), [...due!.keys()].sort(), 'umoci: the same names');
    execFileSync(
      'diff',
      ['-r', '--no-dereference', 'unpacked-src/rootfs', 'unpacked-back/rootfs'],
      {
        cwd,
      },
    );
  });
}

t.test('random stacks', { timeout: 300_000 }, async t => {
  await fc.assert(
    fc.asyncProperty(stackSteps, async stack => {
      const cwd = temporaryDirectory(t);
      const tars = stack.map((steps, i) => tarOf(layerOf(steps, i > 0)));
      layoutOf(path.join(cwd, 'src'), { layers: tars.map(tar => ({ tar })) });
      const source = await openImageSource(`oci:${cwd}/src:t`);
      const target = await openImageTarget(`oci:${cwd}/flat:t`);
      await convertImage({ source, target, flatten: true, workers: 0 });
      await target.close();
      const flat = await openImageSource(`oci:${cwd}/flat:t`);
      const { differences } = await compareImages({ source, target: flat });
      const into = await openImageTarget(`oci:${cwd}/ordinary:t`);
      await convertImage({ source, target: into, workers: 0 });
      await into.close();
      const ordinary = await openImageSource(`oci:${cwd}/ordinary:t`);
      const others = await compareImages({ source: ordinary, target: flat });
      await Promise.all([source.close(), flat.close(), ordinary.close()]);
      fs.rmSync(cwd, { recursive: true });
      return differences.length === 0 && others.differences.length === 0;
    }),
    { numRuns: 60 },
  );
});

t.test('a hardlink to what only a lower layer has', async t => {
  const cwd = temporaryDirectory(t);
  const layers = [
    [file('a', 'content'), file('p/q', 'other')],
    [link('b', 'a'), link('c', 'b'), link('r', 'p/q')],
    [file('a', 'new'), file('.wh.c', '')],
  ].map(entries => ({ tar: tarOf(entries) }));
  layoutOf(path.join(cwd, 'src'), { layers });
  await succeed(t, ['convert', '-l', 'warn', '--flatten', 'oci:src:t', 'oci:flat:t'], { cwd });
  await succeed(t, ['check', '-l', 'warn', '--source', 'oci:src:t', 'oci:flat:t'], { cwd });

  for (const entries of [[link('b', 'none')], [file('.wh.a', ''), link('x', 'a')]]) {
    layoutOf(path.join(cwd, 'bad'), { layers: [layers[0]!, { tar: tarOf(entries) }] });
    const ran = await cli(['convert', '--flatten', 'oci:bad:t', 'oci:none:t'], { cwd });
    hasFailed(t, ran, 'no target', 1, /the target of a hardlink does not exist/);
    t.notOk(fs.existsSync(path.join(cwd, 'none/index.json')));
  }
});

t.test('the history says what was done; other modes are refused', async t => {
  const cwd = temporaryDirectory(t);
  layoutOf(path.join(cwd, 'src'), {
    layers: [{ tar: tarOf([file('a', '')]) }, { tar: tarOf([file('b', '')]) }],
  });
  await succeed(t, ['convert', '-l', 'warn', '--flatten', 'oci:src:t', 'oci:flat:t'], { cwd });
  const out = path.join(cwd, 'flat');
  t.same(configOf(out, taggedManifest(out, 't')).history, [
    { created_by: 'layer 0', empty_layer: true },
    { created_by: 'layer 1', empty_layer: true },
    { created_by: 'rafs-stream', comment: '2 layers in one' },
    { created_by: 'Nydus Converter', comment: 'Nydus Bootstrap Layer' },
  ]);
  for (const mode of ['zran', 'tarfs']) {
    const ran = await cli(['convert', '--flatten', '--mode', mode, 'oci:src:t', 'oci:x:t'], {
      cwd,
    });
    hasFailed(t, ran, mode, 2, /it cannot be flat/);
  }
});
