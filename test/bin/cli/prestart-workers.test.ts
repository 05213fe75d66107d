import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseCommandLine } from '../../../bin/cli/command-line.js';
import { prestartWorkers } from '../../../bin/cli/prestart-workers.js';
import { hasThreadAhead, startThread, type ThreadName } from '../../../streams/threads/threads.js';
import { temporaryDirectory } from '../../support/process/fs.js';

const NAMES = ['compressor-worker', 'file-hash-worker', 'hash-worker'] as const;

/** What a command line starts: how many threads of which name, all of which end again. */
const started = async (argv: readonly string[]): Promise<Partial<Record<ThreadName, number>>> => {
  const invocation = parseCommandLine(['create', ...argv], 'rafs-stream');
  if (!('command' in invocation) || invocation.command !== 'create') throw new Error('no create');
  prestartWorkers(invocation);
  const counts: Partial<Record<ThreadName, number>> = {};
  for (const name of NAMES) {
    while (hasThreadAhead(name)) {
      await startThread(name).terminate();
      counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  return counts;
};

t.test('a build has the threads that it will want', async t => {
  const directory = temporaryDirectory(t);
  const file = (name: string, size: number): string => {
    const made = path.join(directory, name);
    fs.writeFileSync(made, '');
    fs.truncateSync(made, size);
    return made;
  };
  const small = file('small', 0x1fffff);
  const middle = file('middle', 0x200000);
  const large = file('large', 0x1000001);
  const native = ['-t', 'targz-rafs', '--bootstrap', '-', '--blob', '-'];
  const four = [...native, '--workers', '4'];
  const compressing = [...four, '--compressor', 'zstd'];
  t.same(await started([...compressing, small]), {}, 'none for little');
  t.same(await started([...compressing, middle]), { 'compressor-worker': 1 });
  t.same(await started([...compressing, large]), { 'compressor-worker': 3 });
  t.same(await started([...compressing, '/dev/stdin']), { 'compressor-worker': 1 }, 'unknown size');
  t.same(await started([...compressing, path.join(directory, 'none')]), { 'compressor-worker': 1 });
  t.same(await started([...compressing, 'x'.repeat(5000)]), {}, 'no path');
  t.same(await started([...native, '--workers', '0', large]), {});
  t.same(await started([...four, '--compressor', 'none', large]), { 'compressor-worker': 3 });
  const tarfs = ['-t', 'tar-tarfs', '--bootstrap', '-', '--blob-dir', directory];
  t.same(await started([...tarfs, large]), { 'file-hash-worker': 1 });
  t.same(await started([...tarfs, '/dev/stdin']), { 'hash-worker': 1 });
  t.same(await started([...tarfs, '--blob-id', 'id', large]), {}, 'nothing to hash');
  t.same(await started(['-t', 'targz-ref', '--bootstrap', '-', '--blob', '-', large]), {
    'hash-worker': 1,
  });
});
