import t from 'tap';
import { cli } from '../support/process/cli.js';

t.test('--version --verbose names what does the heavy work', async t => {
  for (const argv of [
    ['--version', '--verbose'],
    ['--verbose', '-V'],
  ]) {
    const { stdout, stderr, exit } = await cli(argv);
    t.equal(exit, 0);
    t.equal(stderr, '');
    t.match(stdout, /^ \rVersion: \tv/);
    for (const name of ['Zstd', 'LZ4', 'Inflate', 'BLAKE3', 'SHA-256', 'CRC-32', 'Xattrs']) {
      t.match(stdout, new RegExp(`^${name}: +\t.+$`, 'm'));
    }
    t.match(stdout, /^Zstd:.*, bytes of libzstd 1\.5\.6$/m);
  }
});
