/** Whole images: converted, read by skopeo and umoci, turned back, and compared. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import {
  configOf,
  digestOf,
  layoutOf,
  putBlob,
  putImage,
  taggedDocument,
  taggedManifest,
  withoutProgram,
  writeLayout,
  type LayoutLayer,
} from '../support/images/oci-layout.js';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { filesBelow } from '../support/process/left.js';
import { tarOf, type TarEntry } from '../support/tar/tar.js';
import { makeFrame } from '../support/tar/zstd.js';

const withoutSkopeo = withoutProgram('skopeo', '--version');
const withoutUmoci = withoutProgram('umoci', '--version');

const file = (name: string, content: string | Buffer, more: Partial<TarEntry> = {}): TarEntry => ({
  name,
  content: Buffer.from(content),
  mode: 0o644,
  ...more,
});

const BASE = tarOf([
  { name: 'etc/', type: '5', mode: 0o755 },
  file('etc/removed', 'this goes away'),
  file('etc/kept', 'this stays'),
  file('etc/large', Buffer.alloc(300_000, 'some content that compresses well ')),
  { name: 'etc/hard', type: '1', link: 'etc/kept' },
  { name: 'etc/soft', type: '2', link: 'kept', mode: 0o777 },
]);
const UPPER = tarOf([file('etc/.wh.removed', ''), file('etc/new', 'upper')]);
const EMPTY = tarOf([{ name: 'empty/', type: '5', mode: 0o755 }]);
const LAYERS: LayoutLayer[] = [{ tar: BASE }, { tar: UPPER }, { tar: EMPTY }, { tar: UPPER }];

const KINDS = {
  v6: [],
  v5: ['--fs-version', '5'],
  batches: ['--batch-size', '0x4000'],
  'not compressed': ['--compressor', 'none'],
  zran: ['--oci-ref'],
  tarfs: ['--mode', 'tarfs'],
  encrypted: ['--encrypt'],
};

const convert = (t: Test, directory: string, ...argv: readonly string[]) =>
  succeed(t, ['convert', '-l', 'warn', ...argv], { cwd: directory });

for (const [kind, options] of Object.entries(KINDS)) {
  t.test(
    `an image becomes ${kind}, and an ordinary one again`,
    { skip: withoutSkopeo },
    async t => {
      const directory = temporaryDirectory(t);
      const at = (name: string): string => path.join(directory, name);
      layoutOf(at('src'), { layers: LAYERS });
      await convert(t, directory, 'oci:src:t', 'oci:out:n', ...options);
      execFileSync('skopeo', ['inspect', `oci:${at('out')}:n`]);
      const { layers, mediaType } = taggedManifest(at('out'), 'n');
      t.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json');
      t.equal(layers.length, LAYERS.length + 1, 'one for every layer, and the bootstrap');
      t.equal(layers[1]!.digest, layers[3]!.digest, 'the same layer twice');
      t.ok(layers.slice(0, -1).every(one => one.annotations['containerd.io/snapshot/nydus-blob']));
      t.ok(layers.at(-1)!.annotations['containerd.io/snapshot/nydus-bootstrap']);

      await succeed(t, [
        'check',
        '-l',
        'warn',
        '--source',
        `oci:${at('src')}:t`,
        `oci:${at('out')}:n`,
      ]);
      await convert(t, directory, '--reverse', 'oci:out:n', 'oci:back:b');
      if (withoutUmoci) return;
      for (const image of ['src:t', 'back:b']) {
        execFileSync('umoci', ['unpack', '--image', image, `unpacked-${image}`], {
          cwd: directory,
        });
      }
      execFileSync(
        'diff',
        ['-r', '--no-dereference', 'unpacked-src:t/rootfs', 'unpacked-back:b/rootfs'],
        { cwd: directory },
      );
    },
  );
}

t.test('fields of the config stay, also those that nobody knows', async t => {
  const directory = temporaryDirectory(t);
  const src = path.join(directory, 'src');
  const config = {
    docker_version: '1',
    'x-unknown': { b: 1, a: [true, null] },
    config: { Healthcheck: { Test: ['CMD', '<true> & more'] }, Image: 'sha256:gone', Cmd: ['sh'] },
  };
  layoutOf(src, { layers: [{ tar: BASE }], config, manifest: { mediaType: undefined } });
  await convert(t, directory, 'oci:src', 'oci:out');
  const index = JSON.parse(fs.readFileSync(path.join(directory, 'out/index.json'), 'utf8')) as {
    manifests: [{ digest: string }];
  };
  const out = path.join(directory, 'out');
  writeLayout(out, { n: index.manifests[0] });
  const found = configOf(out, taggedManifest(out, 'n'));
  t.same(found['x-unknown'], config['x-unknown']);
  t.equal(found.docker_version, '1');
  t.same(found.config, { Healthcheck: config.config.Healthcheck, Cmd: ['sh'] });
  t.same(Object.keys(found), [
    ...['created', 'architecture', 'os', 'docker_version', 'x-unknown', 'config'],
    ...['rootfs', 'history'],
  ]);
});

t.test('layers of every compression, and types of Docker', async t => {
  const directory = temporaryDirectory(t);
  const src = path.join(directory, 'src');
  const docker = 'application/vnd.docker';
  const layers: LayoutLayer[] = [
    { tar: BASE, mediaType: `${docker}.image.rootfs.diff.tar.gzip` },
    { tar: UPPER, stored: UPPER, mediaType: 'application/vnd.oci.image.layer.v1.tar' },
  ];
  if (makeFrame) {
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd';
    layers.push({ tar: EMPTY, stored: makeFrame(EMPTY), mediaType });
  }
  layoutOf(src, {
    layers,
    configType: `${docker}.container.image.v1+json`,
    manifest: { mediaType: `${docker}.distribution.manifest.v2+json` },
  });
  await convert(t, directory, 'oci:src:t', 'oci:out:n');
  const { config, mediaType } = taggedManifest(path.join(directory, 'out'), 'n');
  t.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json');
  t.equal(config.mediaType, 'application/vnd.oci.image.config.v1+json');
  await succeed(t, ['check', '-l', 'warn', '--source', 'oci:src:t', 'oci:out:n'], {
    cwd: directory,
  });
});

t.test('an index: platforms, and attestations that are left out', async t => {
  const directory = temporaryDirectory(t);
  const src = path.join(directory, 'src');
  const platforms = [
    { architecture: 'amd64', os: 'linux' },
    { architecture: 'arm64', os: 'linux', variant: 'v8' },
  ];
  const attestation = {
    ...putImage(src, { layers: [{ tar: EMPTY, mediaType: 'application/vnd.in-toto+json' }] }),
    platform: { architecture: 'unknown', os: 'unknown' },
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const manifests = platforms.map((platform, i) => ({
    ...putImage(src, { layers: [{ tar: i === 0 ? BASE : UPPER }], platform }),
    platform,
  }));
  const index = {
    schemaVersion: 2,
    manifests: [...manifests, attestation],
    annotations: { a: 'b' },
  };
  const stored = putBlob(
    src,
    Buffer.from(JSON.stringify(index)),
    'application/vnd.oci.image.index.v1+json',
  );
  writeLayout(src, { t: stored });
  const run = ['convert', 'oci:src:t'];
  const quiet = { cwd: directory };
  const ran = await cli([...run, 'oci:out:all', '--all-platforms'], { cwd: directory });
  t.equal(ran.exit, 0);
  t.match(ran.stderr, /an attestation of the source left out/);
  const out = path.join(directory, 'out');
  const all = taggedDocument(out, 'all') as {
    manifests: { platform: object }[];
    annotations: object;
  };
  t.same(
    all.manifests.map(({ platform }) => platform),
    platforms,
  );
  t.same(all.annotations, { a: 'b' });
  await succeed(t, [...run, 'oci:out:arm', '--platform', 'linux/arm64', '-l', 'warn'], quiet);
  t.equal(taggedManifest(out, 'arm').layers.length, 2, 'one platform: a plain manifest');
  const wrong = await cli([...run, 'oci:out:x', '--platform', 'linux/s390x', '-l', 'warn'], quiet);
  hasFailed(t, wrong, 'a platform that is not there', 1, /linux\/amd64, linux\/arm64/);

  await succeed(
    t,
    [...run, 'oci:out:mixed', '--merge-platform', '--platform', 'amd64', '-l', 'warn'],
    quiet,
  );
  const mixed = taggedDocument(out, 'mixed') as { manifests: { artifactType?: string }[] };
  t.same(
    mixed.manifests.map(one => one.artifactType),
    [undefined, 'application/vnd.nydus.image.manifest.v1+json'],
  );
});

t.test('what cannot be converted is refused by name, and leaves nothing', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const refuse = async (image: Parameters<typeof layoutOf>[1], text: RegExp, ...more: string[]) => {
    fs.rmSync(at('src'), { recursive: true, force: true });
    layoutOf(at('src'), image);
    const ran = await cli(['convert', 'oci:src:t', 'oci:none:n', ...more], { cwd: directory });
    hasFailed(t, ran, String(text), 1, text);
    t.notOk(fs.existsSync(at('none')), 'no trace');
  };
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  await refuse({ layers: [{ tar: BASE, mediaType: foreign }] }, /foreign layer/);
  await refuse(
    { layers: [{ tar: BASE }], configType: 'application/vnd.oci.empty.v1+json' },
    /not a container image/,
  );
  await refuse({ layers: [{ tar: BASE }], manifest: { schemaVersion: 1 } }, /schema 1/);
  await refuse(
    { layers: [{ tar: BASE }], manifest: { manifests: [] } },
    /both an image and an index/,
  );
  if (makeFrame) {
    const stored = makeFrame(BASE);
    await refuse({ layers: [{ tar: BASE, stored }] }, /compressed with zstd/, '--mode', 'zran');
  }
});

t.test('a layer that is not what its digests say ends the run without a manifest', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  layoutOf(at('src'), { layers: LAYERS });
  const { layers } = taggedManifest(at('src'), 't');
  const blob = at(`src/blobs/sha256/${layers[1]!.digest.slice(7)}`);
  const bytes = fs.readFileSync(blob);
  bytes[4]! ^= 1; // the time in the gzip's header: the content stays the same
  fs.writeFileSync(blob, bytes);
  const wrong = await cli(['convert', 'oci:src:t', 'oci:none:n'], { cwd: directory });
  hasFailed(t, wrong, 'another digest', 1, /expected a layer with sha256 .*, got/);
  t.same(fs.existsSync(at('none')) ? filesBelow(at('none')) : [], []);

  fs.rmSync(at('src'), { recursive: true });
  layoutOf(at('src'), {
    layers: [{ tar: BASE, stored: (await import('node:zlib')).gzipSync(UPPER) }],
  });
  const other = await cli(['convert', 'oci:src:t', 'oci:none:n'], { cwd: directory });
  hasFailed(t, other, 'another diff id', 1, /expected the tar of a layer to have digest .*, got/);
});

t.test('archives, from pipe to pipe', { skip: withoutSkopeo }, async t => {
  const directory = temporaryDirectory(t);
  layoutOf(path.join(directory, 'src'), { layers: LAYERS });
  const run = (line: string): Buffer => execFileSync('bash', ['-ec', line], { cwd: directory });
  const rafs = `${process.execPath} ${(await import('../support/process/cli.js')).CLI}`;
  run('skopeo copy -q oci:src:t docker-archive:docker.tar:app:t');
  run('skopeo copy -q oci:src:t oci-archive:oci.tar:t');
  await convert(t, directory, 'oci:src:t', 'oci:out:n');
  const due = taggedManifest(path.join(directory, 'out'), 'n').layers.map(({ digest }) => digest);
  for (const source of ['docker-archive:docker.tar', 'oci-archive:oci.tar:t']) {
    await convert(t, directory, source, 'oci:out:a');
    const found = taggedManifest(path.join(directory, 'out'), 'a').layers;
    t.same(
      found.map(({ digest }) => digest),
      due,
      source,
    );
  }
  run(`cat docker.tar | ${rafs} convert -l warn docker-archive:- oci-archive:- > made.tar`);
  run(`gzip -c oci.tar | ${rafs} convert -l warn oci-archive:-:t oci-archive:made2.tar:x`);
  for (const made of ['oci-archive:made.tar', 'oci-archive:made2.tar:x']) {
    const shown = JSON.parse(run(`skopeo inspect ${made}`).toString()) as { Layers: string[] };
    t.same(shown.Layers, due, made);
  }
  const small = await cli(
    ['convert', 'docker-archive:/dev/stdin', 'oci:none', '--spool-limit', '4k'],
    { cwd: directory, stdin: fs.readFileSync(path.join(directory, 'docker.tar')) },
  );
  hasFailed(t, small, 'a limit', 1, /spooled up to 4096 bytes/);
});

t.test('check --source finds every difference', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  const pax = (value: string): [string, string][] => [['SCHILY.xattr.user.x', value]];
  const first = file('a', 'content', { uid: 1, mtime: 5, pax: pax('1') });
  const symlink: TarEntry = { name: 's', type: '2', link: 'a' };
  const hardlink: TarEntry = { ...first, content: '', name: 'h', type: '1', link: 'a' };
  const same = [first, symlink, hardlink];
  const write = (name: string, ...entries: TarEntry[]): void =>
    layoutOf(at(name), { layers: [{ tar: tarOf(entries) }] });
  write('src', ...same);
  const planted: Record<string, TarEntry[]> = {
    content: [{ ...first, content: 'CONTENT' }, symlink, hardlink],
    size: [{ ...first, content: 'content and more' }, symlink, hardlink],
    mode: [{ ...first, mode: 0o600 }, symlink, { ...hardlink, mode: 0o600 }],
    owner: [{ ...first, uid: 2 }, symlink, { ...hardlink, uid: 2 }],
    mtime: [{ ...first, mtime: 6 }, symlink, { ...hardlink, mtime: 6 }],
    xattr: [{ ...first, pax: pax('2') }, symlink, { ...hardlink, pax: pax('2') }],
    target: [first, { ...symlink, link: 'b' }, hardlink],
    link: [first, symlink, { ...first, name: 'h' }],
    type: [first, { name: 's', type: '5', mode: 0o755 }, hardlink],
    missing: [first, symlink],
    extra: [...same, file('more', '')],
  };
  for (const [kind, entries] of Object.entries(planted)) {
    fs.rmSync(at('other'), { recursive: true, force: true });
    write('other', ...entries);
    for (const options of [[], ['--oci-ref'], ['--flatten']]) {
      const name = `oci:${kind}:${options.join('')}`;
      await convert(t, directory, 'oci:other', name, ...options);
      const ran = await cli(['check', '--source', 'oci:src', name], { cwd: directory });
      t.equal(ran.exit, 1, kind);
      t.match(ran.stdout.toString(), new RegExp(`: ${kind}: `), kind);
      for (const line of ran.stdout.toString().trim().split('\n')) {
        t.match(line, new RegExp(`: ${kind}: `), 'nothing else');
      }
    }
  }
});

t.test('copy takes along what an image only refers to', async t => {
  const directory = temporaryDirectory(t);
  layoutOf(path.join(directory, 'src'), { layers: LAYERS });
  await convert(t, directory, 'oci:src:t', 'oci:out:n', '--mode', 'zran');
  await succeed(t, ['copy', '-l', 'warn', 'oci:out:n', 'oci:there:n'], { cwd: directory });
  const original = digestOf((await import('node:zlib')).gzipSync(BASE)).slice(7);
  t.ok(fs.existsSync(path.join(directory, 'there/blobs/sha256', original)));
  await succeed(t, ['check', '-l', 'warn', '--source', 'oci:src:t', 'oci:there:n'], {
    cwd: directory,
  });
});

t.test('a build cache spares the work that an earlier run has done', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  layoutOf(at('src'), { layers: LAYERS });
  for (const options of [[], ['--fs-version', '5'], ['--mode', 'zran']]) {
    const run = ['oci:src:t', ...options, '--build-cache', 'oci:cache:c'];
    await cli(['convert', 'oci:src:t', 'oci:due:n', ...options], { cwd: directory });
    const first = await cli(['convert', ...run, 'oci:one:n'], { cwd: directory });
    t.notMatch(first.stderr, /reused/);
    const second = await cli(['convert', ...run, 'oci:two:n'], { cwd: directory });
    t.equal(second.stderr.match(/reused/g)?.length, 3, 'every distinct layer');
    const due = taggedDocument(at('due'), 'n');
    t.same(taggedDocument(at('one'), 'n'), due);
    t.same(taggedDocument(at('two'), 'n'), due);
    await succeed(t, ['check', '-l', 'warn', '--source', 'oci:src:t', 'oci:two:n'], {
      cwd: directory,
    });
  }
  const refused = await cli(
    ['convert', '--encrypt', 'oci:src:t', 'oci:x', '--build-cache', 'oci:c'],
    {
      cwd: directory,
    },
  );
  hasFailed(t, refused, 'a key of its own', 2, /cannot hold encrypted layers/);
});

t.test('what is left out of a layer is told once, with the layer', async t => {
  const directory = temporaryDirectory(t);
  const odd = tarOf([
    { name: '../led-out', content: 'x' },
    { name: 'mac', content: 'y', pax: [['SCHILY.xattr.com.apple.quarantine', 'z']] },
  ]);
  layoutOf(path.join(directory, 'src'), { layers: [{ tar: BASE }, { tar: odd }] });
  const { layers } = taggedManifest(path.join(directory, 'src'), 't');
  for (const options of [[], ['--mode', 'zran'], ['--mode', 'tarfs'], ['--flatten']]) {
    fs.rmSync(path.join(directory, 'out'), { recursive: true, force: true });
    const argv = ['convert', '-l', 'warn', ...options, 'oci:src:t', 'oci:out:t'];
    const { exit, stderr } = await cli(argv, { cwd: directory });
    t.equal(exit, 0, options.join(' '));
    const lines = stderr.trimEnd().split('\n');
    t.equal(lines.length, 2, stderr);
    for (const line of lines) t.match(line, `WARN`);
    for (const line of lines) t.match(line, `(layer ${layers[1]!.digest})`);
    t.match(stderr, /led-out/);
    t.match(stderr, /com\.apple/);
  }
});
