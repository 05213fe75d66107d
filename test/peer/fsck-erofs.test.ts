/** erofs-utils read an exported Native image: the files are those of the tar. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { succeed } from '../support/process/cli.js';
import { factsBelow, withoutFsck, type Fact } from '../support/peers/erofs-tools.js';
import { isRoot, temporaryDirectory } from '../support/process/fs.js';
import { layerTar } from '../support/tar/layers.js';

const skip = withoutFsck() || (!isRoot && 'needs root, to extract owners and devices');

for (const compressor of ['none', 'lz4_block', 'zstd']) {
  t.test(`extracted by fsck.erofs, from ${compressor}`, { skip }, async t => {
    for (const name of ['kinds', 'sizes', 'layer-0']) {
      const directory = temporaryDirectory(t);
      const tar = path.join(directory, 'tar');
      fs.writeFileSync(tar, layerTar(name));
      const boot = path.join(directory, 'boot');
      const create = ['create', '-t', 'tar-rafs', '--compressor', compressor, '-B', boot];
      await succeed(t, [...create, '-D', directory, '-l', 'error', tar]);
      const disk = path.join(directory, 'disk');
      const argv = ['export', '--block', '-B', boot, '-D', directory, '-O', disk, '-l', 'error'];
      await succeed(t, argv);

      // it wants the data of a device slot as a file, though the image has them
      const image = fs.readFileSync(disk);
      const { mappedBlkaddr } = parseBootstrap(fs.readFileSync(boot)).blobs[0]!;
      const device = path.join(directory, 'device');
      fs.writeFileSync(device, image.subarray(mappedBlkaddr * 4096));
      const extracted = path.join(directory, 'extracted');
      const fsck = [`--device=${device}`, `--extract=${extracted}`, disk];
      const { status, stderr } = spawnSync('fsck.erofs', fsck, { encoding: 'utf8' });
      t.equal(status, 0, `${name} ${stderr}`);

      const tree = path.join(directory, 'tree');
      fs.mkdirSync(tree);
      execFileSync('tar', ['-xpf', tar, '--numeric-owner', '-C', tree]);
      const due = factsBelow(tree);
      const got = factsBelow(extracted);
      t.same([...got.keys()].sort(), [...due.keys()].sort(), `${name}: names`);
      /** What it restores: chown behind chmod takes set-user-ID away, for one. */
      const restored = ({ type, mode, uid, gid, target, content, rdev }: Fact) => ({
        ...{ type, uid, gid, target, content, rdev },
        mode: mode & 0o1777,
      });
      for (const [name, fact] of due) {
        if (name === '.') continue; // not every tar says what it is like
        t.same(restored(got.get(name)!), restored(fact), name);
      }
    }
  });
}
