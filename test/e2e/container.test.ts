/**
 * Containers that start from our images before their files are there, with software that is not
 * ours: a registry, containerd, its nydus snapshotter, nydusd and runc. It begins with the commands
 * that docs/images.md begins with.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { layoutOf, withoutProgram } from '../support/images/oci-layout.js';
import { buildGo } from '../support/peers/go.js';
import { CLI, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { startContainerd, withoutContainerd } from '../support/servers/containerd.js';
import { startRegistry, withoutRegistry } from '../support/servers/storage-servers.js';
import { tarOf } from '../support/tar/tar.js';

const DOCUMENT = fileURLToPath(new URL('../../../docs/images.md', import.meta.url));

const lacks =
  withoutContainerd() ||
  withoutRegistry() ||
  withoutProgram('skopeo', '--version') ||
  withoutProgram('ldd', '--version');
const { program, missing } = lacks
  ? { program: undefined, missing: lacks }
  : buildGo('container-run');

/** A root file system with a shell and little else, out of this machine's. */
const makeRoot = (directory: string): Buffer => {
  const put = (file: string): void => {
    const to = path.join(directory, file);
    fs.mkdirSync(path.dirname(to), { recursive: true });
    fs.copyFileSync(fs.realpathSync(file), to);
  };
  for (const name of ['sh', 'cat', 'ls', 'sha256sum']) {
    const file = [`/bin/${name}`, `/usr/bin/${name}`].find(one => fs.existsSync(one))!;
    const needed = execFileSync('ldd', [fs.realpathSync(file)]).toString();
    for (const [library] of needed.matchAll(/\/[^ ]+(?= \()/g)) put(library);
    fs.mkdirSync(path.join(directory, 'bin'), { recursive: true });
    fs.copyFileSync(fs.realpathSync(file), path.join(directory, 'bin', name));
    fs.chmodSync(path.join(directory, 'bin', name), 0o755);
  }
  for (const name of ['proc', 'sys', 'dev', 'tmp', 'etc']) {
    fs.mkdirSync(path.join(directory, name), { recursive: true });
  }
  fs.writeFileSync(path.join(directory, 'etc/os-release'), 'PRETTY_NAME="A small system"\n');
  const argv = ['-C', directory, '--sort=name', '--owner=0', '--group=0', '-c', '.'];
  return execFileSync('tar', argv, { maxBuffer: 0x1000_0000 });
};

/** The commands before the first heading of the page that is not its title. */
const documented = (): string[] =>
  fs
    .readFileSync(DOCUMENT, 'utf8')
    .split(/^## /m)[0]!
    .split('\n')
    .filter(line => /^ {4}(rafs-stream|container-run) /.test(line))
    .map(line => line.trim());

const KINDS = {
  native: [],
  v5: ['--fs-version', '5'],
  zran: ['--oci-ref'],
  flat: ['--flatten'],
  'of a build cache': ['--build-cache', '{host}/app:cache'],
};

t.test('containers', { skip: missing, timeout: 300_000 }, async (t: Test) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const storage = { filesystem: { rootdirectory: at('registry') } };
  const host = await startRegistry(t, directory, { storage });
  const large = Buffer.alloc(5_000_000, 'content that is read in the container\n');
  layoutOf(at('src'), {
    config: { config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] } },
    layers: [
      { tar: makeRoot(at('root')) },
      {
        tar: tarOf([
          { name: 'etc/gone', content: 'x' },
          { name: 'data/large', content: large },
        ]),
      },
      { tar: tarOf([{ name: 'etc/.wh.gone', content: '' }]) },
    ],
  });
  const copy = ['copy', '-q', '--dest-tls-verify=false', `oci:${at('src')}:t`];
  execFileSync('skopeo', [...copy, `docker://${host}/app:1`]);
  fs.mkdirSync(at('c'));
  const env = { ...process.env, CONTAINERD: await startContainerd(t, at('c')) };

  const commands = documented();
  t.ok(commands.length >= 2, 'the page begins with commands');
  const words: Record<string, string> = {
    'rafs-stream': `'${process.execPath}' '${CLI}'`,
    'container-run': `'${program!}'`,
  };
  let shown = '';
  for (const command of commands) {
    const line = command
      .replace(/^[a-z-]+/, word => words[word]!)
      .replaceAll('127.0.0.1:5000', host);
    const given = { cwd: directory, env: { ...env, NODE_OPTIONS: '' } };
    shown = execFileSync('/bin/sh', ['-c', line], {
      ...given,
      stdio: ['ignore', 'pipe', 'pipe'],
    }).toString();
  }
  t.equal(shown, 'A small system\n', 'the commands of the page');

  const due = execFileSync('sha256sum', { input: large }).toString().split(' ')[0]!;
  for (const [kind, options] of Object.entries(KINDS)) {
    const name = `${host}/app:${kind.replaceAll(' ', '-')}`;
    const given = options.map(option => option.replace('{host}', host));
    const argv = ['convert', '-l', 'warn', `${host}/app:1`, name, ...given];
    await succeed(t, argv);
    if (kind.endsWith('cache')) await succeed(t, argv); // of which nothing is converted
    const script = 'sha256sum /data/large; cat /etc/os-release; ls /etc/gone 2>&1; exit 7';
    const { status, stdout } = spawnSync(program!, [name, '/bin/sh', '-c', script], { env });
    t.equal(status, 7, `${kind}: the container's own status`);
    t.match(stdout.toString(), `${due}  /data/large\nPRETTY_NAME="A small system"\n`, kind);
    t.match(stdout.toString(), /gone.*No such file/, `${kind}: what is removed is not there`);
  }
});
