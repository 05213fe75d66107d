/** What `npm pack` makes: installed somewhere else, its programs run and its modules are found. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

// compiled, this file lies in dist/test/
const root = fileURLToPath(new URL('../..', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

interface Manifest {
  name: string;
  version: string;
  bin: Readonly<Record<string, string>>;
  dependencies: Readonly<Record<string, string>>;
}
// our own package.json has these
const manifest = JSON.parse(
  fs.readFileSync(path.join(root, 'package.json'), 'utf8'),
) as Readonly<Manifest>;

interface Pack {
  readonly file: string;
  readonly names: readonly string[];
}

/** Packs what is built, without building again: other tests run from there. */
const pack = (directory: string): Pack => {
  const output = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', directory],
    { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
  // npm lists one package, in an array or by its name, as its version has it
  const report = JSON.parse(output) as Readonly<
    Record<string, { filename: string; files: readonly { path: string }[] }>
  >;
  const [only] = Object.values(report);
  return {
    file: path.join(directory, path.basename(only!.filename)),
    names: only!.files.map(file => file.path).sort(),
  };
};

/** Files in dist/ that the package must have: what was built, without tests and maps. */
const built = (): string[] =>
  ['bin', 'lib', 'streams'].flatMap(part =>
    fs
      .readdirSync(path.join(root, 'dist', part), { recursive: true, encoding: 'utf8' })
      .map(name => `dist/${part}/${name}`)
      .filter(name => /\.(js|d\.ts|wasm)$/.test(name)),
  );

/**
 * Installs the package for a project of its own: from the registry, or, where that cannot be
 * reached, unpacked beside links to the packages that we have. Says which.
 */
const installInto = (project: string, file: string): 'registry' | 'links' => {
  fs.writeFileSync(
    path.join(project, 'package.json'),
    JSON.stringify({ name: 'user', type: 'module', private: true }),
  );
  const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts', '--omit=dev'];
  const { status } = spawnSync('npm', ['install', ...flags, '--fetch-retries=0', file], {
    cwd: project,
    stdio: 'ignore',
    timeout: 120_000,
  });
  if (status === 0) return 'registry';
  const modules = path.join(project, 'node_modules');
  fs.rmSync(modules, { recursive: true, force: true });
  const target = path.join(modules, manifest.name);
  fs.mkdirSync(target, { recursive: true });
  execFileSync('tar', ['-xzf', file, '--strip-components=1', '-C', target]);
  // a package of ours finds its own dependencies where it really is, beside the others
  for (const name of Object.keys(manifest.dependencies)) {
    const link = path.join(modules, name);
    fs.mkdirSync(path.dirname(link), { recursive: true });
    fs.symlinkSync(path.join(root, 'node_modules', name), link);
  }
  fs.mkdirSync(path.join(modules, '.bin'));
  for (const [name, script] of Object.entries(manifest.bin)) {
    fs.chmodSync(path.join(target, script), 0o755);
    fs.symlinkSync(path.join(target, script), path.join(modules, '.bin', name));
  }
  return 'links';
};

const npmMissing = spawnSync('npm', ['--version']).status !== 0 && 'npm is not installed';

t.test('the package', { skip: npmMissing }, async t => {
  const directory = t.testdir({ pack: {}, project: {} });
  const project = path.join(directory, 'project');
  const { file, names } = pack(path.join(directory, 'pack'));

  t.test('holds all that is built, and nothing of the tests', async t => {
    const have = new Set(names);
    t.same(
      built().filter(name => !have.has(name)),
      [],
      'everything built is packed',
    );
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'dist/lib/compress/inflate.wasm',
      'dist/streams/threads/task-worker.js',
    ]) {
      t.ok(have.has(name), name);
    }
    t.same(
      names.filter(name => /^(dist\/)?(test|benchmarks|scripts|assembly|demo)\/|\.map$/.test(name)),
      [],
      'nothing that only we need is packed',
    );
  });

  t.comment(`dependencies come from: ${installInto(project, file)}`);

  t.test('its programs run', async t => {
    for (const name of Object.keys(manifest.bin)) {
      const program = path.join(project, 'node_modules/.bin', name);
      const { stdout, status, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8' });
      t.equal(status, 0, stderr);
      t.ok(stdout.includes(`Version: \tv${manifest.version}\n`), stdout);
    }
  });

  t.test('its program converts a layer in a pipe and reads it back', async t => {
    const program = path.join(project, 'node_modules/.bin/rafs-stream');
    const tree = t.testdir({ tree: { etc: { motd: 'hello\n' }, big: 'x'.repeat(0x180000) } });
    const layer = path.join(tree, 'layer.tar.gz');
    execFileSync('tar', ['-C', path.join(tree, 'tree'), '-czf', layer, '.']);
    const blob = path.join(tree, 'layer.blob');
    const line = 'cat "$0" | "$1" > "$2"';
    const { status, stderr } = spawnSync('sh', ['-c', line, layer, program, blob], {
      encoding: 'utf8',
    });
    t.equal(status, 0, stderr);
    const unpacked = spawnSync(
      program,
      ['unpack', '--blob', blob, '--output', path.join(tree, 'again.tar'), blob],
      { encoding: 'utf8' },
    );
    t.equal(unpacked.status, 0, unpacked.stderr);
    const motd = execFileSync('tar', ['-xOf', path.join(tree, 'again.tar'), 'etc/motd']);
    t.equal(motd.toString(), 'hello\n');
  });

  t.test('a program composes its stages, with types', async t => {
    const [stage, record] = ['rafs-stream/stages', 'rafs-stream/formats'];
    fs.writeFileSync(
      path.join(project, 'use.ts'),
      `import { chunker } from '${stage}';
import { struct, u32 } from '${record}';
import type { Entry } from 'rafs-stream/formats';
import { rafs, type CreatedImage } from 'rafs-stream';

export const made = (): Promise<CreatedImage> => rafs({ chunkSize: 0x1000 }).result;
// @ts-expect-error there is no such option
export const misspelt = () => rafs({ chunksize: 0x1000 });

export const Pair = struct('Pair', 8, { first: u32, second: u32 });
const pair: { first: number; second: number } = Pair.decode(Pair.encode({ first: 1, second: 2 }), 0);

// @ts-expect-error the chunk size is a number
export const wrong = () => chunker({ chunkSize: '4096' });

const entry = { path: 'a', type: 'file', size: 5 } as Entry;
const stage = chunker({ chunkSize: 2 });
stage.end([
  { kind: 'entry', entry },
  { kind: 'data', bytes: Buffer.from('hello') },
  { kind: 'end' },
]);
const sizes: number[] = [];
for await (const batch of stage) {
  for (const part of batch) if (part.kind === 'chunk') sizes.push(part.bytes.length);
}
console.log(JSON.stringify({ pair, sizes }));
`,
    );
    fs.writeFileSync(
      path.join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'ES2023',
          module: 'NodeNext',
          strict: true,
          types: ['node'],
          typeRoots: [path.join(root, 'node_modules/@types')],
        },
        files: ['use.ts'],
      }),
    );
    const compiled = spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
    t.equal(compiled.stdout, '', 'types are found and right');
    const { stdout, stderr } = spawnSync(process.execPath, [path.join(project, 'use.js')], {
      encoding: 'utf8',
    });
    t.equal(stdout.trim(), '{"pair":{"first":1,"second":2},"sizes":[2,2,1]}', stderr);
  });

  for (const [module, moduleResolution] of [
    ['Node16', 'node16'],
    ['NodeNext', 'nodenext'],
    ['ESNext', 'bundler'],
  ] as const) {
    t.test(`a program compiles with moduleResolution ${moduleResolution}`, async t => {
      const config = path.join(project, `tsconfig.${moduleResolution}.json`);
      fs.writeFileSync(
        config,
        JSON.stringify({
          compilerOptions: {
            target: 'ES2023',
            module,
            moduleResolution,
            strict: true,
            noEmit: true,
            types: ['node'],
            typeRoots: [path.join(root, 'node_modules/@types')],
          },
          files: ['use.ts'],
        }),
      );
      const compiled = spawnSync(process.execPath, [tsc, '-p', config], { encoding: 'utf8' });
      t.equal(compiled.stdout, '');
      t.equal(compiled.status, 0);
    });
  }

  const installed = path.join(project, 'node_modules', manifest.name);
  for (const [tool, argv] of [
    ['publint', ['run', installed, '--pack', 'false', '--strict']],
    ['attw', [file, '--profile', 'esm-only', '--no-emoji', '--no-color']],
  ] as const) {
    const program = path.join(root, 'node_modules/.bin', tool);
    const missing = spawnSync(program, ['--help']).status !== 0 && `${tool} does not run here`;
    t.test(`${tool} finds nothing wrong`, { skip: missing }, async t => {
      const { status, stdout, stderr } = spawnSync(program, argv, { encoding: 'utf8' });
      t.equal(status, 0, `${stdout}${stderr}`);
    });
  }

  t.test('the example of the README runs', async t => {
    const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
    const example = /<!-- run by test\/package.test.ts -->\n```js\n(.*?)```/s.exec(readme)?.[1];
    t.ok(example, 'there is one');
    fs.writeFileSync(path.join(project, 'example.mjs'), example ?? '');
    const tree = t.testdir({ etc: { motd: 'hello\n', again: 'hello\n' } });
    execFileSync('tar', ['-C', tree, '-czf', path.join(project, 'layer.tar.gz'), 'etc']);
    const { stdout, stderr } = spawnSync(process.execPath, ['example.mjs'], {
      cwd: project,
      encoding: 'utf8',
    });
    t.equal(stderr, '');
    const lines = stdout.trim().split('\n');
    t.same(lines.filter(line => !line.startsWith(' ')).sort(), ['etc', 'etc/again', 'etc/motd']);
    // blake3 of "hello\n"
    const digest = '   8e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99';
    t.same(
      lines.filter(line => line.startsWith(' ')),
      [digest, digest],
    );
  });

  t.test('what is no entry of it is not found', async t => {
    const load = `await import('rafs-stream/dist/lib/layout/struct.js')`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', load],
      { cwd: project, encoding: 'utf8' },
    );
    t.not(status, 0);
    t.match(stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });
});

t.test('the lock names no place to download from', async t => {
  const lock = fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8');
  t.notMatch(lock, /"resolved"/);
});
