/** A device that has no end where a command reads a file: it is refused, whatever the option. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { COMMANDS } from '../../bin/cli/options.js';
import type { CommandRow } from '../../bin/options/option-row.js';
import { layoutOf } from '../support/images/oci-layout.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerPath, layerTar } from '../support/tar/layers.js';

t.test('options that name a file', async t => {
  const folder = temporaryDirectory(t);
  const at = (name: string): string => path.join(folder, name);
  for (const name of ['blobs', 'source', 'out', 'dict:1']) fs.mkdirSync(at(name));
  const create = ['create', '-l', 'warn', '-t', 'targz-rafs', layerPath('kinds.tar.gz')];
  await succeed(t, [...create, '-B', at('boot'), '-D', at('blobs')]);
  fs.copyFileSync(at('boot'), at('dict:1/boot'));
  fs.writeFileSync(at('wanted'), '{"version":"v1","files":[{"path":"/etc/passwd"}]}');
  layoutOf(at('layout'), { layers: [{ tar: layerTar('xattrs') }] });
  const blobs = ['--blob-dir', at('blobs')];
  const image = ['--bootstrap', at('boot')];

  /** What a command needs besides the option. */
  const BASES: Record<string, string[]> = {
    create: ['-t', 'dir-rafs', '-B', at('out/boot'), '-D', at('out'), at('source')],
    convert: [`oci:${at('layout')}:t`, `oci:${at('out/layout')}:t`],
    check: image,
    inspect: [...image, '-R', 'list'],
    stat: ['--target', at('boot'), ...image],
    unpack: [...image, '--blob', at('blobs'), '--output', at('out/tar')],
    export: ['--block', ...image, '--localfs-dir', at('blobs'), '--output', at('out/disk')],
    nbd: [...image, ...blobs, '--socket', at('out/socket')],
    merge: ['-B', at('out/boot'), at('boot')],
    optimize: [
      ...[...image, ...blobs, '--prefetch-files', at('wanted')],
      ...['--output-blob-dir', at('out'), '-O', at('out/boot')],
    ],
    compact: [...image, ...blobs, '-O', at('out/boot')],
    'chunkdict generate': [
      '-B',
      at('out/boot'),
      '--database',
      `sqlite://${at('out/db')}`,
      at('dict:1/boot'),
    ],
  };
  let tried = 0;
  for (const [command, row] of Object.entries(COMMANDS)) {
    const options: CommandRow['options'] = row.options;
    for (const [option, { file }] of Object.entries(options)) {
      if (file !== 'input') continue;
      const base = BASES[command];
      if (!base) throw new Error(`no arguments for ${command}`);
      const argv = [...command.split(' '), '-l', 'error', ...without(base, command, option)];
      if (option === 'backend-config-file') argv.push('--backend-type', 'localfs');
      const ran = await cli([...argv, `--${option}`, '/dev/zero'], { timeoutMs: 15_000 });
      const what = `${command} --${option}`;
      if (IGNORED.has(what)) t.match(ran, { exit: 0, stderr: '' }, what);
      else hasFailed(t, ran, what, 1);
      tried++;
    }
  }
  t.ok(tried > 25, `${tried} options`);
});

/** Options without effect, which nydus-image has. */
const IGNORED = new Set(['create --config', 'stat --config']);

/** What an option takes the place of. */
const INSTEAD: Readonly<Record<string, readonly string[]>> = {
  config: ['--blob-dir', '--localfs-dir'],
  'backend-config-file': ['--blob-dir', '--blob'],
  bootstrap: ['-B'],
  'export --config': ['--bootstrap', '--localfs-dir'],
  'compact --backend-config-file': [],
};

/** Arguments without an option, what it takes the place of, and their values. */
const without = (argv: readonly string[], command: string, option: string): string[] => {
  const instead = INSTEAD[`${command} --${option}`] ?? INSTEAD[option] ?? [];
  const names = [`--${option}`, ...instead];
  return argv.filter((arg, i) => !names.includes(arg) && !names.includes(argv[i - 1] ?? ''));
};
