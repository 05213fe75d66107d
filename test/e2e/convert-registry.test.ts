/** Whole images from registry to registry, judged by nydusify with nydusd where they are installed. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { layoutOf, withoutProgram } from '../support/images/oci-layout.js';
import { succeed } from '../support/process/cli.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { madeTar } from '../support/tar/layers.js';
import { tarOf } from '../support/tar/tar.js';

const skip = withoutRegistry() || withoutProgram('skopeo', '--version');
const withoutPeers =
  withoutProgram('nydusify', '--version') ||
  withoutProgram('nydusd', '--version') ||
  withoutProgram('nydus-image', '--version') ||
  (!isRoot && 'needs root, to mount');

interface Manifest {
  config: { digest: string };
  layers: { digest: string }[];
}

const KINDS = {
  v6: [],
  v5: ['--fs-version', '5'],
  batches: ['--batch-size', '0x10000'],
  zran: ['--oci-ref'],
};

t.test('images of a registry', { skip, timeout: 120_000 }, async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const upper = tarOf([
    // without it, nydusify's root is the one of no layer
    { name: './', type: '5', mode: 0o755, mtime: 1_700_000_000 },
    { name: 'upper/', type: '5', mode: 0o755 },
    { name: 'upper/new', content: 'new' },
  ]);
  layoutOf(at('src'), {
    config: { config: { Cmd: ['sh'] } },
    layers: [{ tar: madeTar('debian', { scale: 0.02 }) }, { tar: upper }],
  });
  const storage = { filesystem: { rootdirectory: at('registry') } };
  const host = await startRegistry(t, directory, { storage });
  const run = (program: string, ...argv: string[]): string =>
    execFileSync(program, argv, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
  const source = `${host}/app:src`;
  run('skopeo', 'copy', '-q', '--dest-tls-verify=false', 'oci:src:t', `docker://${source}`);
  const manifestOf = (name: string): Manifest =>
    JSON.parse(
      run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${name}`),
    ) as Manifest;

  for (const [kind, options] of Object.entries(KINDS)) {
    const ours = `${host}/app:${kind}`;
    await succeed(t, ['convert', '-l', 'warn', source, ours, ...options]);
    await succeed(t, ['check', '-l', 'warn', '--source', source, ours]);
    if (withoutPeers) {
      t.comment(`not compared with nydusify: ${withoutPeers}`);
      continue;
    }
    const insecure = ['--source-insecure', '--target-insecure', '--nydus-image', 'nydus-image'];
    const theirs = `${host}/app:theirs-${kind}`;
    const work = ['--work-dir', at(`work-${kind}`)];
    run(
      'nydusify',
      'convert',
      '--source',
      source,
      '--target',
      theirs,
      ...insecure,
      ...work,
      ...options,
    );
    const [a, b] = [manifestOf(ours), manifestOf(theirs)];
    t.same(
      a.layers.slice(0, -1).map(({ digest }) => digest),
      b.layers.slice(0, -1).map(({ digest }) => digest),
      `${kind}: the same data layers`,
    );
    t.equal(a.config.digest, b.config.digest, `${kind}: the same config and bootstrap`);
    // it would raise its limit of open files, which not every root may
    const nydusd = at('nydusd');
    fs.writeFileSync(nydusd, '#!/bin/sh\nexec nydusd --rlimit-nofile 0 "$@"\n', { mode: 0o755 });
    const pair = ['--source', source, '--target', ours, '--nydusd', nydusd];
    run('nydusify', 'check', ...pair, ...insecure, '--work-dir', at(`check-${kind}`));
    t.pass(`${kind}: nydusd shows what the source has`);
  }

  const other = `${host}/other/app:zran`;
  await succeed(t, ['copy', '-l', 'warn', `${host}/app:zran`, other]);
  await succeed(t, ['check', '-l', 'warn', '--source', source, other]);
  await succeed(t, ['convert', '-l', 'warn', '--reverse', other, 'oci:back'], { cwd: directory });
  await succeed(t, ['check', '-l', 'warn', '--source', source, 'oci:back'], { cwd: directory });
});
