import t from 'tap';
import { ChunkTable } from '../../../lib/chunk/chunk-table.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { planBootstrap } from '../../../lib/bootstrap/plan.js';
import type { BootstrapOptions } from '../../../lib/bootstrap/bootstrap-options.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { Tree } from '../../../lib/tree/tree.js';
import { entryOf } from '../../support/images/entries.js';

await prepareDigests();

const OPTIONS: BootstrapOptions = {
  fsVersion: 6,
  compressor: 'zstd',
  digester: 'sha256',
  chunkSize: 0x10000,
  explicitUidGid: true,
};

const made = (more: Partial<BootstrapOptions>, tree = new Tree()) => {
  const { pieces, hasXattrs } = planBootstrap(tree, new ChunkTable(), [], { ...OPTIONS, ...more });
  return { hasXattrs, image: parseBootstrap(Buffer.concat([...pieces])) };
};

const has = (flags: number, flag: number): boolean => Math.floor(flags / flag) % 2 === 1;

for (const fsVersion of [5, 6] as const) {
  t.test(`what is said of an image is what a reader sees, v${fsVersion}`, async t => {
    for (const compressor of ['none', 'lz4_block', 'gzip', 'zstd'] as const) {
      for (const digester of ['blake3', 'sha256'] as const) {
        for (const explicitUidGid of [true, false]) {
          const { image } = made({ fsVersion, compressor, digester, explicitUidGid });
          t.match(image, { version: fsVersion, compressor, digester, chunkSize: 0x10000 });
          t.equal(has(image.flags, 0x10), explicitUidGid);
        }
      }
    }
  });

  t.test(`that there are xattrs, v${fsVersion}`, async t => {
    const tree = new Tree();
    t.equal(made({ fsVersion }, tree).hasXattrs, false);
    const said = made({ fsVersion, hasXattrs: true }, tree);
    // in v5 it is said of what is there
    t.equal(said.hasXattrs, fsVersion === 6);
    t.equal(has(said.image.flags, 0x20), fsVersion === 6);
    tree.insert(entryOf('file', 'a', { xattrs: new Map([['user.a', Buffer.from('1')]]) }));
    for (const hasXattrs of [true, false]) {
      const found = made({ fsVersion, hasXattrs }, tree);
      t.ok(found.hasXattrs && has(found.image.flags, 0x20));
    }
  });
}

t.test('encryption is a flag of v6 alone', async t => {
  t.ok(has(made({}).image.flags, 0x0100_0000), 'none');
  t.ok(has(made({ encrypted: true }).image.flags, 0x0200_0000), 'aes-128-xts');
  t.notOk(has(made({ fsVersion: 5 }).image.flags, 0x0100_0000));
});

t.test('tars have blocks of 512 bytes', async t => {
  const { image } = made({ tarfs: true });
  t.match(image, { tarfs: true, blockSize: 512 });
});
