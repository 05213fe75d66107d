import t from 'tap';
import { parseCommandLine, type Invocation } from '../../../bin/cli/command-line.js';
import { checkFiles } from '../../../bin/cli/file-roles.js';

/** Checks the files of a command line; undefined if they are in order. */
const refusal = (line: string): string | undefined => {
  const parsed = parseCommandLine(line.split(' '), 'rafs-stream') as Invocation;
  try {
    checkFiles(parsed);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

t.test('outputs that would overwrite each other, or what is read', t => {
  for (const line of [
    'create -t tar-rafs -B x -b x in',
    'create -t tar-rafs -B x -b ./x in',
    'create -t tar-rafs -B boot -b blob -J boot in',
    'create -t tar-rafs -B in -b blob in',
    'create -t dir-rafs -B boot -b boot.external in',
    'create -t tar-rafs -B boot -b blob --chunk-dict bootstrap=boot in',
    'create -t tar-rafs -B boot -b blob -L boot.log --external-blob boot.log in',
    'merge -B a a b',
    'compact -B old.boot -D . -J old.bootstrap.compact',
    'export --block -B boot -D . -J ./boot.disk',
    'chunkdict generate -B x --database sqlite://x in',
    'unpack --blob out --output out boot',
    'convert oci-archive:a.tar oci-archive:a.tar',
  ]) {
    t.match(refusal(line), /./, line);
  }
  t.end();
});

t.test('what is in order', t => {
  for (const line of [
    'create -t tar-rafs -B boot -b blob -J json in',
    'create -t tar-rafs -B /dev/null -b /dev/null in',
    'create -t tar-rafs -B boot -b blob --chunk-dict bootstrap=dict in',
    'merge -B out a a',
    'convert oci:layout:a oci:layout:b',
    'convert --dry-run oci-archive:a.tar oci-archive:a.tar',
    'check -B boot',
  ]) {
    t.equal(refusal(line), undefined, line);
  }
  t.end();
});
