/** Parsers of lib: bytes in, a record, a list or a RafsError out. */
import fs from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { chunkLine, inodeLine } from '../../bin/console/image-text.js';
import { parseChunkInfo, parseChunkInfoHeader } from '../../lib/blob/chunk-info-table.js';
import { parseToc, sectionsOfTail, tailSize } from '../../lib/blob/toc.js';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { verify } from '../../lib/bootstrap/verify.js';
import { walk } from '../../lib/bootstrap/walk.js';
import { crc32 } from '../../lib/compress/crc32.js';
import { prepareCompressors, zstdFrame, decompress } from '../../lib/compress/compressors.js';
import { lz4Compress, lz4Decompress } from '../../lib/compress/lz4-block.js';
import { parseBackend, parseStorageConfig } from '../../lib/config/backends.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { parseGptHeader, parsePartitions } from '../../lib/device/gpt.js';
import { RafsError } from '../../lib/errors.js';
import { loadImage } from '../../lib/image/load-image.js';
import { parsePrefetchFiles } from '../../lib/image/optimize.js';
import { parseAttributes } from '../../lib/layer/attributes.js';
import { parsePrefetchPatterns } from '../../lib/layer/prefetch.js';
import { readStargzToc } from '../../lib/layer/stargz.js';
import { ChunkInfoHeader, ChunkInfoV2, TocEntry } from '../../lib/layout/blob.js';
import { GptEntry, GptHeader, SECTOR_SIZE } from '../../lib/layout/gpt.js';
import { ChunkRecord } from '../../lib/layout/rafs.js';
import { InodeV5, SuperBlockV5 } from '../../lib/layout/rafs-v5.js';
import {
  BlobEntry,
  CompactInode,
  DeviceSlot,
  Dirent,
  ExtendedInode,
  ExtendedSuperBlock,
  SuperBlock,
  V6,
} from '../../lib/layout/rafs-v6.js';
import { readPax } from '../../lib/tar/pax.js';
import { BOOTSTRAPS, BOOTSTRAPS_V5, golden, goldenBlob } from '../support/images/golden.js';
import { gptDisk } from '../support/images/gpt-disk.js';
import { layerPath } from '../support/tar/layers.js';
import { paxRecord } from '../support/tar/tar.js';
import { randomBytes, wordyBytes } from '../support/random.js';
import { fieldsOf, mutateText, type FieldAt } from './mutators.js';
import { agree, lz4Model } from './oracles.js';
import { refusable, type Seed, type Target } from './target.js';

const ready = async (): Promise<void> => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
};

/** Where a v6 image has its records: found as a reader finds them. */
export const fieldsOfV6 = (image: Buffer): FieldAt[] => {
  const bootstrap = parseBootstrap(image);
  const { blob, chunk } = bootstrap.tables;
  const fields = [
    ...fieldsOf(SuperBlock, V6.SUPER_OFFSET),
    ...fieldsOf(ExtendedSuperBlock, V6.SUPER_OFFSET + SuperBlock.size),
  ];
  const deviceAt = V6.SUPER_OFFSET + SuperBlock.size + ExtendedSuperBlock.size;
  for (const { index } of bootstrap.blobs) {
    fields.push(...fieldsOf(DeviceSlot, deviceAt + index * DeviceSlot.size));
    fields.push(...fieldsOf(BlobEntry, blob.offset + index * BlobEntry.size));
  }
  const metaAt =
    image.readUInt32LE(V6.SUPER_OFFSET + SuperBlock.offsets.metaBlkaddr) * bootstrap.blockSize;
  for (const { id } of walk(bootstrap)) {
    const at = metaAt + id * 32;
    const record = image.readUInt16LE(at) & 1 ? ExtendedInode : CompactInode;
    fields.push(...fieldsOf(record, at), ...fieldsOf(Dirent, at + record.size));
  }
  for (let at = chunk.offset; at < chunk.offset + chunk.size; at += ChunkRecord.size) {
    fields.push(...fieldsOf(ChunkRecord, at));
  }
  return fields.filter(({ at, size }) => at + size <= image.length);
};

const fieldsOfV5 = (image: Buffer): FieldAt[] => {
  const fields = fieldsOf(SuperBlockV5).filter(({ at }) => at < 100);
  const tableAt = Number(image.readBigUInt64LE(SuperBlockV5.offsets.inodeTableOffset));
  const count = image.readUInt32LE(SuperBlockV5.offsets.inodeTableEntries);
  for (let i = 0; i < count; i++) {
    fields.push({ at: tableAt + i * 4, size: 4 });
    fields.push(...fieldsOf(InodeV5, image.readUInt32LE(tableAt + i * 4) * 8));
  }
  return fields.filter(({ at, size }) => at + size <= image.length);
};

const readWhole = async (image: Buffer): Promise<void> => {
  await ready();
  const bootstrap = parseBootstrap(image);
  for (const visit of verify(bootstrap)) {
    inodeLine(bootstrap, visit);
    bootstrap.xattrs(visit.inode);
    if (visit.inode.type !== 'file') continue;
    for (const chunk of bootstrap.chunks(visit.inode)) chunkLine(chunk);
  }
  loadImage(bootstrap);
};

const tailOf = (name: string): Seed => {
  const blob = fs.readFileSync(name);
  const bytes = blob.subarray(blob.length - tailSize(blob.length));
  const fields = Array.from({ length: Math.floor(bytes.length / TocEntry.size) }, (_, i) =>
    fieldsOf(TocEntry, bytes.length - 512 - (i + 1) * TocEntry.size),
  );
  return { name, bytes, fields: fields.flat().filter(({ at }) => at >= 0) };
};

const text = (name: string, bytes: Buffer | string): Seed => ({
  name,
  bytes: Buffer.from(bytes as Buffer),
  fields: [],
});

const textTarget = (
  name: string,
  seeds: readonly Seed[],
  run: (bytes: Buffer) => void,
): Target => ({
  name,
  seeds: () => seeds,
  change: (seed, next) => mutateText(seed.bytes, next),
  run,
});

const PATTERNS = '/usr/lib\n/etc/passwd\n\n/a b/c\n';
const FILES = JSON.stringify({
  version: 'v1',
  files: [{ path: '/usr/bin/tool', ranges: [[0, 4096]] }, { path: '/etc' }],
});
const BACKEND = JSON.stringify({
  ...{ scheme: 'https', host: 'a.example:5000', repo: 'x/y', auth: 'dXNlcjpwYXNz', timeout: 5 },
  ...{ retry_limit: 2, skip_verify: true, dir: '/d', alt_dirs: ['/e'], blob_file: '', addr: '/s' },
  ...{ bucket_name: 'b', endpoint: 'c.example', region: 'r', access_key_id: 'k' },
  ...{ access_key_secret: 's', object_prefix: 'p/', device_path: '/dev/x' },
  proxy: { url: 'http://p.example', fallback: true, check_interval: 5 },
});
const STORAGE = JSON.stringify({
  device: { backend: { type: 'localfs', config: { dir: '/d' } } },
  backend: { type: 'registry', registry: { host: 'h', repo: 'r' } },
});
const BACKENDS = ['localfs', 'localdisk', 'oss', 's3', 'registry', 'http-proxy'];

const jsonOf = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new RafsError('UNSUPPORTED', 'not JSON');
  }
};

export const PARSERS: readonly Target[] = [
  {
    name: 'bootstrap-v6',
    seeds: () =>
      BOOTSTRAPS.map(name => ({ name, bytes: golden(name), fields: fieldsOfV6(golden(name)) })),
    run: readWhole,
  },
  {
    name: 'bootstrap-v5',
    seeds: () =>
      BOOTSTRAPS_V5.map(name => ({ name, bytes: golden(name), fields: fieldsOfV5(golden(name)) })),
    run: readWhole,
  },
  {
    name: 'toc',
    seeds: () => ['toc.kinds.none', 'zran.kinds'].map(name => tailOf(goldenBlob(name))),
    run(bytes) {
      sectionsOfTail(bytes, bytes.length + 0x100000);
      for (let count = 1; count <= 8; count++) {
        const end = bytes.length - 512; // a tar header follows
        refusable(() => parseToc(bytes.subarray(end - count * TocEntry.size, end), 2 ** 40));
      }
    },
  },
  {
    name: 'chunk-info',
    seeds: async () => {
      await ready();
      return ['toc.kinds.none', 'batch.kinds.zstd', 'zran.kinds'].map(name => {
        const [blob] = parseBootstrap(golden(name)).blobs;
        const { ciOffset, ciCompressedSize, ciUncompressedSize } = blob!;
        const file = fs.readFileSync(goldenBlob(name));
        const tableEnd = ciOffset + ciCompressedSize;
        const header = file.subarray(tableEnd, tableEnd + ChunkInfoHeader.size);
        const stored = file.subarray(ciOffset, tableEnd);
        const plain =
          ciCompressedSize === ciUncompressedSize
            ? stored
            : decompress('zstd', stored, ciUncompressedSize);
        const bytes = Buffer.concat([header, plain]);
        const fields = fieldsOf(ChunkInfoHeader).filter(({ at }) => at > 4 && at < 200);
        for (
          let at = header.length;
          at + ChunkInfoV2.size <= bytes.length;
          at += ChunkInfoV2.size
        ) {
          fields.push(...fieldsOf(ChunkInfoV2, at));
        }
        return { name, bytes, fields };
      });
    },
    async run(bytes) {
      await ready();
      for (const name of ['toc.kinds.none', 'batch.kinds.zstd', 'zran.kinds']) {
        const [stated] = parseBootstrap(golden(name)).blobs;
        if (bytes.length < ChunkInfoHeader.size) return;
        const plain = bytes.subarray(ChunkInfoHeader.size);
        const blob = { ...stated!, ciCompressor: 0, ciCompressedSize: plain.length };
        blob.ciUncompressedSize = plain.length;
        const head = Buffer.from(bytes.subarray(0, ChunkInfoHeader.size));
        const facts = ChunkInfoHeader.decode(head);
        const encoded = ChunkInfoHeader.encode({
          ...{ ...facts, chunkCount: blob.chunkCount, ciCompressor: 0 },
          ...{ ciOffset: blob.ciOffset, ciCompressedSize: plain.length },
          ciUncompressedSize: plain.length,
        });
        refusable(() => {
          const table = parseChunkInfo(plain, parseChunkInfoHeader(encoded, blob), blob);
          for (let i = 0; i < table.count; i++) table.chunk(i);
        });
      }
    },
  },
  {
    name: 'lz4',
    seeds: () =>
      [wordyBytes(3000, 1), randomBytes(700, 2), Buffer.alloc(5000), wordyBytes(40, 3)].map(
        (plain, i) => text(`block ${i}`, lz4Compress(plain)),
      ),
    run(bytes, next) {
      const size = [3000, 700, 5000, 40, next(6000)][next(5)]!;
      const due = lz4Model(bytes, size);
      const got = refusable(() => lz4Decompress(bytes, size));
      // decoders may ask of the last bytes what the description asks of writers only
      if (got?.length === size) agree(due?.equals(got) ?? false, `another plain text of ${size}`);
    },
  },
  {
    name: 'zstd',
    seeds: async () => {
      await ready();
      return [wordyBytes(3000, 1), randomBytes(700, 2), Buffer.alloc(5000)].map((plain, i) =>
        text(`frame ${i}`, zstdFrame(plain)),
      );
    },
    async run(bytes, next) {
      await ready();
      for (const size of [3000, 700, 5000, next(6000)]) {
        refusable(() => decompress('zstd', bytes, size));
      }
    },
  },
  {
    name: 'pax',
    seeds: () => [
      text(
        'records',
        Buffer.concat([
          paxRecord('path', 'a/b'),
          paxRecord('SCHILY.xattr.user.x', Buffer.from([0, 1, 10, 255])),
          paxRecord('mtime', '12.5'),
          paxRecord('GNU.sparse.map', '0,512,1024,1'),
        ]),
      ),
    ],
    run: bytes => void readPax(bytes),
  },
  {
    name: 'gpt',
    seeds: () => {
      const ids = ['a'.repeat(64), `${'b'.repeat(32)}${'0c'.repeat(16)}`];
      const disk = gptDisk(ids.map(id => ({ id, bytes: Buffer.alloc(5000) })));
      const entries = [0, 1].flatMap(i => fieldsOf(GptEntry, 2 * SECTOR_SIZE + i * GptEntry.size));
      const fields = [...fieldsOf(GptHeader, SECTOR_SIZE), ...entries];
      return [{ name: 'disk', bytes: disk.subarray(0, 34 * SECTOR_SIZE), fields }];
    },
    repair(bytes) {
      if (bytes.length < 34 * SECTOR_SIZE) return bytes;
      const header = bytes.subarray(SECTOR_SIZE, SECTOR_SIZE + GptHeader.size);
      const { headerChecksum, entriesChecksum } = GptHeader.offsets;
      header.writeUInt32LE(
        crc32(bytes.subarray(2 * SECTOR_SIZE, 34 * SECTOR_SIZE)),
        entriesChecksum,
      );
      header.writeUInt32LE(0, headerChecksum);
      header.writeUInt32LE(crc32(header), headerChecksum);
      return bytes;
    },
    run(bytes) {
      const header = parseGptHeader(bytes.subarray(SECTOR_SIZE, 2 * SECTOR_SIZE));
      parsePartitions(header, bytes.subarray(2 * SECTOR_SIZE, 34 * SECTOR_SIZE), 2 ** 30);
    },
  },
  textTarget(
    'stargz-toc',
    [text('index', fs.readFileSync(layerPath('stargz.index.json')))],
    bytes => void readStargzToc(bytes, { chunkSize: 0x400000, layerSize: 2 ** 30 } as never),
  ),
  textTarget(
    'attributes',
    [text('kinds', fs.readFileSync(layerPath('kinds.attributes')))],
    bytes => void parseAttributes(bytes),
  ),
  textTarget('prefetch', [text('patterns', PATTERNS)], bytes => void parsePrefetchPatterns(bytes)),
  textTarget('prefetch-files', [text('list', FILES)], bytes => {
    parsePrefetchFiles(bytes.toString('utf8'), () => undefined);
  }),
  textTarget('backend', [text('all', BACKEND), text('storage', STORAGE)], bytes => {
    const config = jsonOf(bytes);
    for (const type of BACKENDS) refusable(() => parseBackend(type, config));
    refusable(() => parseStorageConfig(config));
  }),
];

/** A gzip of the same bytes, or none: zlib's word on it. */
export const zlibOf = (bytes: Buffer): Buffer | undefined => {
  try {
    return gunzipSync(bytes, { maxOutputLength: 0x4000000 });
  } catch {
    return undefined;
  }
};
