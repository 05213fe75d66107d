import { createHash } from 'node:crypto';
import chain from 'stream-chain';
import t from 'tap';
import type { Compressor } from '../../lib/compress.js';
import type { Digester } from '../../lib/digest.js';
import type { FinishPart, ImagePart, SectionPart } from '../../lib/parts.js';
import { blobWriter } from '../../streams/blob-writer.js';
import { bootstrapFinalizer } from '../../streams/bootstrap-finalizer.js';
import { chunker } from '../../streams/chunker.js';
import { compressor } from '../../streams/compressor.js';
import { digester } from '../../streams/digester.js';
import { partsOf } from '../support/entries.js';
import { collect } from '../support/stage.js';

type Out = SectionPart | FinishPart | ImagePart;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const artifact = (parts: Out[], name: string): Buffer =>
  Buffer.concat(
    parts.flatMap(part => (part.kind === 'section' && part.artifact === name ? [part.bytes] : [])),
  );

/** The small tree whose image nydus-image was seen to make. */
const TREE = [
  ...partsOf('directory', '', { mtime: 1 }),
  ...partsOf('file', 'a', { mtime: 2, content: Buffer.from('hello\n') }),
  ...partsOf('directory', 'd', { mode: 0o700, mtime: 3 }),
  ...partsOf('file', 'd/b', {
    mode: 0o600,
    mtime: 4,
    content: Buffer.from(Array.from({ length: 5120 }, (_, i) => i % 256)),
  }),
  ...partsOf('symlink', 'd/s', { mode: 0o777, mtime: 5, target: '../a' }),
  ...partsOf('hardlink', 'h', { mode: 0o640, mtime: 6, target: 'a' }),
];

const build = async (
  options: {
    compressor?: Compressor;
    digester?: Digester;
    inlineMeta?: boolean;
    blobToc?: boolean;
  } = {},
  batch = 1,
): Promise<Out[]> => {
  const all = {
    compressor: 'none',
    digester: 'sha256',
    inlineMeta: false,
    blobToc: false,
    chunkSize: 0x100000,
    explicitUidGid: true,
    ...options,
  } as const;
  const stages = chain([
    chunker(all),
    await digester({ algorithm: all.digester }),
    await compressor({ ...all, workers: 0 }),
    blobWriter(all),
    bootstrapFinalizer(all),
  ]);
  return collect(stages, TREE, { batch });
};

const KNOWN = [
  {
    compressor: 'none',
    digester: 'sha256',
    blob: '1fe298556f1ff92e96a1f2edb353df7669f96fa44aa90d34ebc44541b7dc9557',
    bootstrap: 'a0e9f492a8be40de610070d67af94908deb509f036290d8780bbc07b80fb1e6f',
  },
  {
    compressor: 'none',
    digester: 'blake3',
    blob: '1fe298556f1ff92e96a1f2edb353df7669f96fa44aa90d34ebc44541b7dc9557',
    bootstrap: '992acb186523aa239a2d06873807589155b61f04d1a84f91d1fcabcbcebb91c9',
  },
  {
    compressor: 'zstd',
    digester: 'sha256',
    blob: 'ca1772c26907016b4ed060cb61cdc4a9429eee95305b25a4e7775fb8e5e0f06f',
    bootstrap: 'bc37f94c07c45fa7a015db3cc0f49cb90f2ee4c2a43ce64dfdad0b058406c45f',
  },
  {
    compressor: 'lz4_block',
    digester: 'sha256',
    blob: '9a65d076279f8496bdeeeb3dff703546f009ee50419668cd32ba4b70424de694',
    bootstrap: 'b3bf4af76c47c7f3a646969519bb7da994cc42383871b077fde94ebbb3c8f583',
  },
] as const;

for (const { blob, bootstrap, ...options } of KNOWN) {
  t.test(`the image of a small tree, ${options.compressor}, ${options.digester}`, async t => {
    for (const batch of [1, 3, 100]) {
      const parts = await build(options, batch);
      t.equal(sha256(artifact(parts, 'blob')), blob);
      t.equal(sha256(artifact(parts, 'bootstrap')), bootstrap);
      const names = parts.flatMap(part => (part.kind === 'finish' ? [part.name] : []));
      t.same(names, [blob, bootstrap]);
    }
  });
}

t.test('an inlined bootstrap and a TOC: the id is not the sha256 of the file', async t => {
  const parts = await build({ compressor: 'none', inlineMeta: true, blobToc: true });
  t.equal(
    sha256(artifact(parts, 'blob')),
    'bdcdda621978a71520c948367f421ffd477222abb4c0fade0394cdffbfdecc64',
  );
  t.match(
    parts.filter(part => part.kind === 'finish'),
    [{ name: 'ef12bec5a8a48692a8995c7184bf888e84b1c2b23acdc0d2748a09a21926283f' }],
  );
});
