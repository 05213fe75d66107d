import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  discardOutput,
  openOutput,
  openOutputInDirectory,
} from '../../../streams/io/open-output.js';
import { abandonAll } from '../../../streams/io/file-output.js';
import { without } from '../../../streams/io/output.js';
import {
  makeFifo,
  mountTmpfs,
  openBelow,
  shell,
  temporaryDirectory,
  withoutMount,
} from '../../support/process/fs.js';

const text = (...pieces: string[]): Buffer[] => pieces.map(piece => Buffer.from(piece));
const umask = Number.parseInt(execFileSync('sh', ['-c', 'umask']).toString(), 8);
const modeOf = (file: string): number => fs.statSync(file).mode & 0o7777;

t.test('a file gets its name when it is complete', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'blob');
  const output = await openOutput(file);
  await output.write(text('ab', '', 'c'));
  await output.write([]);
  await output.write(text('de'));
  t.equal(output.bytesWritten, 5);
  t.notOk(fs.existsSync(file));
  t.equal(fs.readdirSync(directory).length, 1, 'it lies beside its name');
  t.equal(await output.finish('ignored'), file);
  t.same(fs.readdirSync(directory), ['blob']);
  t.equal(fs.readFileSync(file, 'utf8'), 'abcde');
  t.equal(modeOf(file), 0o666 & ~umask);
  await output.abandon();
  t.ok(fs.existsSync(file), 'what is finished stays');
  await t.rejects(output.write(text('x')));
  t.same(openBelow(directory), []);
});

t.test('a file that is given up leaves nothing, and the file before it as it was', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'blob');
  fs.writeFileSync(file, 'before');
  const output = await openOutput(file);
  const writing = output.write([randomBytes(1_000_000)]);
  await output.abandon();
  await output.abandon();
  await writing.catch(() => undefined);
  t.same(fs.readdirSync(directory), ['blob']);
  t.equal(fs.readFileSync(file, 'utf8'), 'before');
  t.same(openBelow(directory), []);
});

t.test('a file that takes the place of another keeps its permissions', async t => {
  const file = path.join(temporaryDirectory(t), 'blob');
  fs.writeFileSync(file, 'a longer one');
  fs.chmodSync(file, 0o640);
  const output = await openOutput(file);
  await output.write(text('new'));
  await output.finish();
  t.equal(fs.readFileSync(file, 'utf8'), 'new');
  t.equal(modeOf(file), 0o640);

  await (await openOutput(file, { mode: 0o600 })).finish();
  t.equal(modeOf(file), 0o600, 'unless one is given');
});

t.test('symlinks are followed, not replaced', async t => {
  const directory = temporaryDirectory(t);
  const at = (name: string) => path.join(directory, name);
  fs.mkdirSync(at('elsewhere'));
  fs.writeFileSync(at('elsewhere/there'), 'before');
  fs.symlinkSync('elsewhere/there', at('link'));
  fs.symlinkSync('dangling', at('link2'));
  fs.symlinkSync('elsewhere/new', at('dangling'));
  for (const [link, end] of [
    ['link', 'elsewhere/there'],
    ['link2', 'elsewhere/new'],
  ] as const) {
    const output = await openOutput(at(link));
    await output.write(text('new'));
    await output.finish();
    t.ok(fs.lstatSync(at(link)).isSymbolicLink(), link);
    t.equal(fs.readFileSync(at(end), 'utf8'), 'new');
  }
  t.same(fs.readdirSync(directory).sort(), ['dangling', 'elsewhere', 'link', 'link2']);
});

t.test('what cannot be opened fails as the system says, and leaves nothing', async t => {
  const directory = temporaryDirectory(t);
  const before = fs.readdirSync('/proc/self/fd').length;
  await t.rejects(openOutput(directory), { code: 'EISDIR' });
  await t.rejects(openOutput(path.join(directory, 'none/blob')), { code: 'ENOENT' });
  await t.rejects(openOutput(path.join(directory, 'none/')), { code: /^(ENOENT|EISDIR)$/ });
  await t.rejects(openOutput(''), { code: 'ENOENT' });
  await t.rejects(openOutputInDirectory(path.join(directory, 'none')), { code: 'ENOENT' });
  fs.writeFileSync(path.join(directory, 'file'), '');
  await t.rejects(openOutputInDirectory(path.join(directory, 'file')), { code: 'ENOTDIR' });
  fs.symlinkSync('loop', path.join(directory, 'loop'));
  await t.rejects(openOutput(path.join(directory, 'loop')), { code: 'ELOOP' });
  t.same(fs.readdirSync(directory), ['file', 'loop']);
  t.equal(fs.readdirSync('/proc/self/fd').length, before);
});

t.test('in a directory the name comes at the end', async t => {
  const directory = temporaryDirectory(t);
  const output = await openOutputInDirectory(directory);
  await output.write(text('content'));
  t.equal(await output.finish('cafe'), path.join(directory, 'cafe'));
  t.equal(modeOf(path.join(directory, 'cafe')), 0o600);

  const again = await openOutputInDirectory(directory);
  await again.write(text('other'));
  t.equal(await again.finish('cafe'), path.join(directory, 'cafe'));
  t.equal(fs.readFileSync(path.join(directory, 'cafe'), 'utf8'), 'content', 'the first one stays');

  const none = await openOutputInDirectory(directory);
  t.equal(await none.finish(), undefined);
  const given = await openOutputInDirectory(directory);
  await given.abandon();
  t.same(fs.readdirSync(directory), ['cafe']);
});

t.test('a name does not lead out of its directory', async t => {
  const directory = temporaryDirectory(t);
  for (const name of ['', '.', '..', '../x', 'a/b', '/x', 'a\0']) {
    const output = await openOutputInDirectory(directory);
    await t.rejects(output.finish(name), { name: 'RafsError', code: 'USAGE' });
  }
  t.same(fs.readdirSync(directory), []);
  t.same(openBelow(directory), []);
});

t.test('a FIFO is opened once and kept open until the end', async t => {
  const fifo = path.join(temporaryDirectory(t), 'fifo');
  makeFifo(fifo);
  const content = randomBytes(3_000_000);
  const reader = shell('sleep 0.1; cat "$1"', fifo);
  const output = await openOutput(fifo);
  for (let at = 0; at < content.length; at += 500_000) {
    const piece = content.subarray(at, at + 500_000);
    await output.write([piece.subarray(0, 7), piece.subarray(7)]);
  }
  t.equal(output.bytesWritten, content.length);
  t.equal(await output.finish(), fifo);
  t.ok((await reader).equals(content), 'the reader saw no end in between');
  t.ok(fs.statSync(fifo).isFIFO());
  t.same(openBelow(fifo), []);
});

t.test('a FIFO whose reader has gone gives EPIPE', async t => {
  const fifo = path.join(temporaryDirectory(t), 'fifo');
  makeFifo(fifo);
  const reader = shell('head -c 1 "$1"', fifo);
  const output = await openOutput(fifo);
  const write = async (): Promise<void> => {
    // a pipe takes 64 KiB before anyone reads it
    for (let i = 0; i < 100; i++) await output.write([Buffer.alloc(100_000)]);
  };
  await t.rejects(write(), { code: 'EPIPE' });
  await reader;
  await t.rejects(output.write(text('x')), { code: 'EPIPE' });
  await output.abandon();
  t.same(openBelow(fifo), []);
});

t.test('a FIFO that is given up while its reader is busy is closed', async t => {
  const fifo = path.join(temporaryDirectory(t), 'fifo');
  makeFifo(fifo);
  const reader = shell('exec 3< "$1"; sleep 0.3; cat <&3 | wc -c', fifo);
  const output = await openOutput(fifo);
  const writing = output.write([Buffer.alloc(1_000_000)]);
  await Promise.all([output.abandon(), t.rejects(writing)]);
  t.ok(Number((await reader).toString()) < 1_000_000);
  t.same(openBelow(fifo), []);
});

t.test('devices, and links to them, are written where they are', async t => {
  const link = path.join(temporaryDirectory(t), 'null');
  fs.symlinkSync('/dev/null', link);
  for (const target of ['/dev/null', link]) {
    const output = await openOutput(target);
    await output.write(text('abc', 'd'));
    t.equal(output.bytesWritten, 4);
    t.equal(await output.finish(), target);
    await (await openOutput(target)).abandon();
  }
  t.ok(fs.statSync('/dev/null').isCharacterDevice());
  t.ok(fs.lstatSync(link).isSymbolicLink());
  const full = await openOutput('/dev/full');
  await t.rejects(full.write(text('x')), { code: 'ENOSPC' });
  await full.abandon();
  t.same(openBelow('/dev/full'), []);
});

t.test('what stands for an open file is written there', async t => {
  const directory = temporaryDirectory(t);
  const fd = fs.openSync(path.join(directory, 'gone'), 'w+');
  fs.unlinkSync(path.join(directory, 'gone'));
  const output = await openOutput(`/proc/self/fd/${fd}`);
  await output.write(text('abc'));
  await output.finish();
  t.equal(fs.readFileSync(fd, 'utf8'), 'abc');
  fs.closeSync(fd);
  t.same(fs.readdirSync(directory), []);
});

t.test('a full disk gives ENOSPC and is not kept full', { skip: withoutMount() }, async t => {
  const small = mountTmpfs(t, temporaryDirectory(t), 0x10000);
  const piece = Buffer.alloc(0x9000, 1);
  for (const open of [
    () => openOutput(path.join(small, 'x')),
    () => openOutputInDirectory(small),
  ]) {
    const output = await open();
    await output.write([piece]);
    await t.rejects(output.write([piece, piece]), { code: 'ENOSPC' });
    t.same(fs.readdirSync(small), []);
    await t.rejects(output.finish('x'));
    await output.abandon();
    t.same(openBelow(small), []);
  }
});

t.test('a signal removes what is not finished, at once', async t => {
  const directory = temporaryDirectory(t);
  const done = await openOutput(path.join(directory, 'done'));
  await done.finish();
  const left = [
    await openOutput(path.join(directory, 'a')),
    await openOutputInDirectory(directory),
  ];
  t.equal(fs.readdirSync(directory).length, 3);
  abandonAll();
  t.same(fs.readdirSync(directory), ['done']);
  for (const output of left) await output.abandon();
  await t.rejects(
    (async () => {
      const output = await openOutput(path.join(directory, 'late'));
      abandonAll();
      await output.finish();
    })(),
    { code: 'ENOENT' },
  );
  t.same(openBelow(directory), []);
});

t.test('standard output: pipe, file, closed reader', async t => {
  const module = new URL('../../../streams/io/open-output.js', import.meta.url).href;
  const script = `
    const { openOutput } = await import(${JSON.stringify(module)});
    const output = await openOutput(process.argv[1]);
    try {
      for (let i = 0; i < 20; i++) await output.write([Buffer.alloc(99999, 'x'), Buffer.from('y')]);
      await output.finish();
      console.error(output.bytesWritten);
      console.log('open');
    } catch (error) {
      await output.abandon();
      console.error(error.code);
    }`;
  const run = async (line: string, target: string) => {
    const argv = ['-c', line, 'sh', process.execPath, script, target];
    return promisify(execFile)('sh', argv);
  };
  for (const target of ['-', '/dev/stdout']) {
    const command = '"$1" --input-type=module -e "$2" "$3"';
    const { stdout, stderr } = await run(`${command} | { sleep 0.1; wc -c; }`, target);
    t.equal(stdout.trim(), '2000005', 'and is not closed');
    t.equal(stderr, '2000000\n');
    t.equal((await run(`${command} | head -c 1`, target)).stderr, 'EPIPE\n');
  }
  const file = path.join(temporaryDirectory(t), 'out');
  await run(`"$1" --input-type=module -e "$2" - > '${file}'`, '');
  t.equal(fs.statSync(file).size, 2000005);
});

t.test('an output that only counts', async t => {
  const output = discardOutput();
  await output.write(text('abc', 'de'));
  t.equal(output.bytesWritten, 5);
  t.equal(await output.finish('x'), undefined);
  await output.abandon();
});

t.test('a short write is gone on with where it stopped', async t => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 5 })),
      fc.nat(30),
      (pieces, n) => {
        const buffers = pieces.map(piece => Buffer.from(piece));
        const all = Buffer.concat(buffers);
        const size = Math.min(n, all.length);
        const left = without(buffers, size);
        t.same(Buffer.concat(left), all.subarray(size));
        t.ok(left.every(buffer => buffer.length > 0));
      },
    ),
  );
});
