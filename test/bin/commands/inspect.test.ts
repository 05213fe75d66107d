import { Readable } from 'node:stream';
import t from 'tap';
import { inspect } from '../../../bin/commands/inspect.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { recordedIo } from '../../support/process/command-io.js';
import { expected, failureOf, golden, goldenPath } from '../../support/images/golden.js';

const KINDS = 'tar-rafs.kinds.zstd.v6';

const request = async (text: string, name = KINDS): Promise<string> => {
  const io = recordedIo();
  await inspect({ bootstrap: goldenPath(name), request: text }, io);
  t.strictSame(io.logged, { info: [], warn: [], error: [] }, 'nothing but the answer');
  return io.text;
};

const session = async (...lines: string[]): Promise<string> => {
  const io = recordedIo();
  const input = Readable.from([lines.join('\n')]);
  await inspect({ bootstrap: goldenPath(KINDS), input }, io);
  return io.text;
};

const idOf = (path: string): number =>
  [...walk(parseBootstrap(golden(KINDS)))].find(visit => visit.path === path)!.inode.id;

t.test('says what nydus-image says', async t => {
  const cases = expected().filter(({ argv }) => argv[0] === 'inspect');
  t.ok(cases.length >= 12);
  for (const { id, case: name, argv, stdout } of cases) {
    t.equal(await request(argv.at(-1)!, name), stdout, id);
    t.equal(await request(` ${argv.at(-1)!}\n`, name), stdout, `${id} with blanks`);
  }
});

t.test('paths of what is read ahead', async t => {
  const ids = new Map(
    [...walk(parseBootstrap(golden('prefetch.fs')))].map(({ path, inode }) => [path, inode.id]),
  );
  // the request names "/opt/app/data", a directory, and one of two names of a file
  t.strictSame(JSON.parse(await request('prefetch', 'prefetch.fs')), [
    { inode: ids.get('opt/app/data'), path: ['/opt/app/data/'] },
    { inode: ids.get('bin/sh'), path: ['/bin/ash', '/bin/sh'] },
  ]);
});

t.test('blocks of text', async t => {
  const etc = idOf('etc');
  t.equal(
    await request('stat etc'),
    `
Inode Number:       ${etc}
Name:               "etc"
Size:               63
Parent:             128
Mode:               0x41ED
Permissions:        40755
Nlink:              2
UID:                0
GID:                0
Mtime:              1700000000
MtimeNsec:          0
Blocks:             1
null`,
  );
  t.match(await request('stat .'), /^\nInode Number: +128\nName: +"\/"\n.*\nParent: +128\n/s);
  t.equal(await request('stat none'), 'null');
  t.match(await request('ls'), /^l {4}134 {6}"bin"\nd {4}137 {6}"dev"\n.*null$/s);
  t.match(await request('chunk 42'), /^\nFile: hard {28} Parent Path: \/usr\/bin {24}\n/);
  t.equal((await request('chunk 42')).match(/Compressed Offset: 42, Comp/g)?.length, 3);
  t.equal(await request('chunk 43'), 'null');
  t.match(await request(`icheck ${idOf('usr/bin/tool')}`), /^\/usr\/bin\/hard\n\nInode.*hard2\n/s);
  t.equal(await request('cd etc'), 'null');
  for (const nothing of ['', '  ', 'q', 'exit']) t.equal(await request(nothing), 'null');
});

t.test('requests that fail', async t => {
  const run = async (text: string) => {
    const io = recordedIo();
    const error = await failureOf(inspect({ bootstrap: goldenPath(KINDS), request: text }, io));
    return { text: io.text, code: error?.code, message: error?.message };
  };
  t.match(await run('help'), { text: /commands/, message: /^help is not supported/ });
  for (const text of ['x', 'stat', 'stats now', 'chunk']) {
    t.match(await run(text), {
      code: 'UNSUPPORTED',
      message: `unsupported inspect request \`${text}\``,
    });
  }
  t.match(await run('chunk abc'), {
    text: 'Wrong OFFSET is specified. Is it a valid u64 value?\n',
    message: 'invalid arguments in inspect request `chunk abc`',
  });
  t.match(await run('icheck x'), { text: 'Wrong INODE is specified. Is it a inode number?\n' });
});

t.test('a session keeps its directory and ends with its input', async t => {
  const text = await session('cd usr', 'cd bin', 'stat su', 'cd ..', 'cd ..', 'cd ..', 'ls', '');
  t.match(text, /Name: +"su"\n.* {2}Chunk list:\n {8}0 ->\n {8}file offset: 0, chunk index: 3\n/s);
  t.match(text, /d {4}\d+ +"usr"\n/);
  t.equal(text.match(/Inspecting RAFS :> /g)?.length, 8);
  t.match(await session('cd none'), /none is not found\n/);
  t.match(await session('cd bin'), /bin is not a directory\n/);
  t.match(await session('nonsense', 'stats'), /Unsupported command: nonsense\n.*Version: +6\n/s);
  t.match(await session('chunk x', 'help'), /Wrong OFFSET.*Available commands/s);
  t.notMatch(await session('q', 'stats'), /Version/);
  t.match(await session('blobs'), /\nBlob ID: +2faee44c.*\nCompressed Data Size: +23184\n/s);
  t.match(await session('prefetch'), /Total Prefetching Files: 0\n/);
});
