/** Whole ways through the program: a layer to images and back, a blob to its content. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { gzipSync } from 'node:zlib';
import { ChunkUses } from '../../lib/bootstrap/chunk-uses.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { RafsError } from '../../lib/errors.js';
import { UstarHeader } from '../../lib/layout/tar.js';
import type { BytesPart } from '../../lib/model/parts.js';
import type { TarPart } from '../../lib/tar/reader.js';
import { readerOf } from '../../streams/io/reader-at.js';
import { GzipDecoder } from '../../streams/layer/gunzip.js';
import { tarDemux } from '../../streams/layer/tar-demux.js';
import { contentPool } from '../../streams/read/blob-reader.js';
import { checkData } from '../../streams/read/data-checker.js';
import { golden, goldenBlob } from '../support/images/golden.js';
import { builtStack, linesOf } from '../support/images/stack-lines.js';
import { collect, cutAt } from '../support/stream/stage.js';
import { layerTar } from '../support/tar/layers.js';
import { setChecksum, tarOf } from '../support/tar/tar.js';
import { fieldsOf, mutate, type FieldAt } from './mutators.js';
import { agree } from './oracles.js';
import { zlibOf } from './parser-targets.js';
import type { Seed, Target } from './target.js';

const LAYERS = ['kinds', 'names', 'xattrs', 'layer-1', 'orphans', 'global', 'fifo-blank-dev'];

/** Headers of a tar, by what looks like one: a magic in the right place. */
const headersOf = (tar: Buffer): number[] => {
  const found: number[] = [];
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    if (tar.toString('latin1', at + 257, at + 262) === 'ustar') found.push(at);
  }
  return found;
};

const tarSeed = (name: string): Seed => {
  const tar = layerTar(name);
  // a short one, so that many fit in a second
  const bytes = tar.length > 0x20000 ? tar.subarray(0, 0x20000) : tar;
  const fields: FieldAt[] = headersOf(bytes).flatMap(at => fieldsOf(UstarHeader, at));
  return { name, bytes, fields };
};

const withChecksums = (bytes: Buffer, next: (limit: number) => number): Buffer => {
  if (next(8) === 0) return bytes;
  for (const at of headersOf(bytes)) setChecksum(bytes, at);
  return bytes;
};

/** What a demux makes of a tar, as text without how its content is cut; or the error's code. */
const demuxed = async (parts: BytesPart[]): Promise<string> => {
  const lines: string[] = [];
  let content = createHash('sha256');
  try {
    for (const part of await collect<BytesPart, TarPart>(
      tarDemux({ sparseLimit: 2 ** 24 }),
      parts,
    )) {
      if (part.kind === 'entry') lines.push(JSON.stringify(part.entry));
      else if (part.kind === 'data') content.update(part.bytes);
      else if (part.kind === 'end') {
        lines.push(content.digest('hex'));
        content = createHash('sha256');
      }
    }
  } catch (error) {
    if (!(error instanceof RafsError)) throw error;
    return `${error.code} ${error.message}`;
  }
  return lines.join('\n');
};

/** What layers are laid over. */
const LOWER = tarOf([
  { name: 'etc/conf', content: 'old' },
  { name: 'etc/gone', content: 'x' },
  { name: 'var/cache/stale', content: 'y' },
  { name: 'lib', type: '2', link: 'usr/lib' },
  { name: 'usr/lib/', type: '5' },
]);

/** A layer with whiteouts, and with entries below a symlink of the layer below. */
const upperSeed = (): Seed => {
  const bytes = tarOf([
    { name: 'etc/.wh.gone' },
    { name: 'etc/conf', content: 'new' },
    { name: 'lib/one', content: '1' },
    { name: 'lib/two', type: '1', link: 'lib/one' },
    { name: 'var/cache/.wh..wh..opq' },
  ]);
  return {
    name: 'upper',
    bytes,
    fields: headersOf(bytes).flatMap(at => fieldsOf(UstarHeader, at)),
  };
};

const blobSeed = (name: string): Seed => ({
  name,
  bytes: fs.readFileSync(goldenBlob(name)),
  fields: [],
});

export const IMAGES: readonly Target[] = [
  {
    name: 'gzip',
    seeds: () =>
      [1, 6, 9].flatMap(level =>
        ['kinds', 'names'].map(name => ({
          name: `${name} -${level}`,
          bytes: gzipSync(layerTar(name).subarray(0, 0x8000), { level }),
          fields: [],
        })),
      ),
    run(bytes, next) {
      const decoder = new GzipDecoder();
      const feed = 1 + next(5000);
      const pieces: Buffer[] = [];
      let failed = false;
      try {
        for (let at = 0; at < bytes.length; at += feed) {
          pieces.push(...decoder.push(bytes.subarray(at, at + feed)));
        }
        decoder.end();
      } catch (error) {
        if (!(error instanceof RafsError)) throw error;
        // Node's zlib ignores whatever follows the last member; Go and the reference do not
        if (error.message.includes('after the last member')) return;
        failed = true;
      }
      const due = zlibOf(bytes);
      agree(failed === (due === undefined), `zlib ${due ? 'takes' : 'refuses'} it, we do not`);
      if (due) agree(Buffer.concat(pieces).equals(due), 'another text than zlib');
    },
  },
  {
    name: 'tar',
    seeds: () => LAYERS.map(tarSeed),
    repair: (bytes, _seed, next) => withChecksums(bytes, next),
    async run(bytes, next) {
      const whole = await demuxed(cutAt(bytes, []));
      const cuts = Array.from({ length: 1 + next(9) }, () => next(bytes.length + 1));
      agree(whole === (await demuxed(cutAt(bytes, cuts))), 'cut in pieces it says another thing');
    },
  },
  {
    name: 'layer',
    seeds: () => ['kinds', 'xattrs', 'names', 'orphans'].map(tarSeed).concat(upperSeed()),
    change: (seed, next) => mutate(seed.bytes, seed.fields, next),
    repair: (bytes, _seed, next) => withChecksums(bytes, next),
    async run(bytes) {
      let due: string | undefined;
      for (const fsVersion of [6, 5] as const) {
        const { images, blobs } = await builtStack([LOWER, bytes], { fsVersion });
        for (const [way, bootstrap] of Object.entries(images)) {
          const lines = (await linesOf(bootstrap, blobs)).join('\n');
          due ??= lines;
          agree(lines === due, `v${fsVersion}, ${way}: another image of the same layers`);
        }
      }
    },
  },
  {
    name: 'blob',
    seeds: () => ['toc.kinds.none', 'batch.kinds.zstd', 'tar-rafs.kinds.zstd.v6'].map(blobSeed),
    async run(bytes) {
      await Promise.all([prepareCompressors(), prepareDigests()]);
      for (const name of ['toc.kinds.none', 'batch.kinds.zstd', 'tar-rafs.kinds.zstd.v6']) {
        const bootstrap = parseBootstrap(golden(name));
        try {
          const opened = { blob: bootstrap.blobs[0]!, source: readerOf(bytes, name) };
          await checkData(opened, {
            bootstrap,
            uses: new ChunkUses(bootstrap),
            pool: contentPool(bootstrap),
            anyBlobId: true,
            doubt() {},
          });
          await linesOf(bootstrap, new Map([[bootstrap.blobs[0]!.id, bytes]]));
        } catch (error) {
          if (!(error instanceof RafsError)) throw error;
        }
      }
    },
  },
];
