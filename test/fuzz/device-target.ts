/** An image as a disk: written out as a whole and read here and there, it is the same. */
import fs from 'node:fs';
import { parseBootstrap } from '../../lib/bootstrap/parse.js';
import { prepareCompressors } from '../../lib/compress/compressors.js';
import { prepareDigests } from '../../lib/crypto/digest.js';
import { blockMap } from '../../lib/device/block-map.js';
import { RafsError } from '../../lib/errors.js';
import type { Batch } from '../../streams/batch.js';
import { blockImage, type DiskPart } from '../../streams/device/block-image.js';
import { openBlockReader } from '../../streams/device/block-reader.js';
import { readerOf } from '../../streams/io/reader-at.js';
import { golden, goldenBlob } from '../support/images/golden.js';
import { layerTar } from '../support/tar/layers.js';
import { agree } from './oracles.js';
import { fieldsOfV6 } from './parser-targets.js';
import type { Seed, Target } from './target.js';

const NAMES = ['tar-rafs.kinds.zstd.v6', 'batch.kinds.zstd', 'toc.kinds.none', 'tarfs.kinds'];
const blobOf = (name: string): Buffer =>
  name === 'tarfs.kinds' ? layerTar('kinds') : fs.readFileSync(goldenBlob(name));

/** The bootstrap, its size before it in four bytes, then the blob. */
const joined = (image: Buffer, blob: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(image.length);
  return Buffer.concat([size, image, blob]);
};

const seedOf = (name: string): Seed => {
  const image = golden(name);
  const fields = fieldsOfV6(image).map(field => ({ ...field, at: field.at + 4 }));
  return { name, bytes: joined(image, blobOf(name)), fields };
};

/** Its code is the error that a part of it is. */
const orError = async <T>(work: Promise<T>): Promise<T | RafsError> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RafsError) return error;
    throw error;
  }
};

const MOST = 0x2000000;

/** Where a disk is larger than any that an input of this size needs, nothing is read. */
export const DEVICE: Target = {
  name: 'device',
  seeds: () => NAMES.map(seedOf),
  async run(bytes, next) {
    await Promise.all([prepareCompressors(), prepareDigests()]);
    if (bytes.length < 4) return;
    const size = bytes.readUInt32LE();
    const image = bytes.subarray(4, 4 + size);
    const blob = bytes.subarray(4 + size);
    const bootstrap = parseBootstrap(image);
    const map = blockMap(bootstrap, image.length);
    const open = async () => readerOf(blob, 'blob');
    const options = { bootstrap, image, map, open, openTables: open };
    const device = await openBlockReader({ ...options, cacheSize: next(2) * 0x100000 });
    try {
      // where a blob has no room on the disk, a device never comes to its chunks
      if (device.size > MOST || map.blobs.some(blob => blob.size === 0)) return;
      const disk = await orError(written(options));
      for (let i = 0; i < 6; i++) {
        const offset = next(device.size + 1);
        const read = await orError(
          device.read(offset, Math.min(next(0x8000), device.size - offset)),
        );
        if (disk instanceof RafsError) continue; // of another part, it may be
        agree(!(read instanceof RafsError), `export takes it, a device says: ${String(read)}`);
        if (read instanceof RafsError) continue;
        agree(read.equals(disk.subarray(offset, offset + read.length)), `other bytes at ${offset}`);
      }
      if (!(disk instanceof RafsError)) return;
      const whole = await orError(device.read(0, device.size));
      agree(whole instanceof RafsError, `a device takes it, export says: ${disk.message}`);
    } finally {
      await device.close();
    }
  },
};

const written = async (options: Parameters<typeof blockImage>[0]): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  // what the stage makes are batches of parts
  for await (const batch of blockImage(options) as AsyncIterable<Batch<DiskPart>>) {
    for (const part of batch) {
      pieces.push(part.kind === 'bytes' ? Buffer.from(part.bytes) : Buffer.alloc(part.size));
    }
  }
  return Buffer.concat(pieces);
};
