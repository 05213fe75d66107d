import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseCommandLine } from '../../../bin/cli/command-line.js';
import { prestartWorkers } from '../../../bin/cli/prestart-workers.js';
import { threadPool } from '../../../streams/threads/thread-pool.js';
import { temporaryDirectory } from '../../support/process/fs.js';

/** How many threads a command line starts, all of which end again. */
const started = async (argv: readonly string[]): Promise<number> => {
  const invocation = parseCommandLine(['create', ...argv], 'rafs-stream');
  if (!('command' in invocation) || invocation.command !== 'create') throw new Error('no create');
  prestartWorkers(invocation);
  const count = threadPool.size;
  await threadPool.close();
  return count;
};

t.test('a build has the threads that it will want', async t => {
  const directory = temporaryDirectory(t);
  const file = (name: string, size: number): string => {
    const made = path.join(directory, name);
    fs.writeFileSync(made, '');
    fs.truncateSync(made, size);
    return made;
  };
  const small = file('small', 0x7fffff);
  const middle = file('middle', 0x800000);
  const large = file('large', 0x2000000);
  const native = ['-t', 'targz-rafs', '--bootstrap', '-', '--blob', '-'];
  const three = [...native, '--workers', '3'];
  t.equal(await started([...three, small]), 0, 'none for little');
  t.equal(await started([...three, middle]), 1);
  t.equal(await started([...three, large]), 3);
  t.equal(await started([...three, '/dev/stdin']), 0, 'unknown size');
  t.equal(await started([...three, path.join(directory, 'none')]), 0);
  t.equal(await started([...three, 'x'.repeat(5000)]), 0, 'no path');
  t.equal(await started([...native, '--workers', '0', large]), 0);
  const tarfs = ['-t', 'tar-tarfs', '--bootstrap', '-', '--blob-dir', directory];
  t.equal(await started([...tarfs, large]), 1);
  t.equal(await started([...tarfs, middle]), 0);
  t.equal(await started([...tarfs, '/dev/stdin']), 0);
  t.equal(await started([...tarfs, '--blob-id', 'id', large]), 0, 'nothing to hash');
  t.equal(await started(['-t', 'targz-ref', '--bootstrap', '-', '--blob', '-', large]), 1);
});
