import t from 'tap';
import * as z from '../../../lib/layout/erofs-z.js';

const hex = (bytes: Buffer): string => bytes.toString('hex');

// as in the kernel's erofs_fs.h
t.test('records lie as the kernel has them', async t => {
  t.equal(
    hex(z.Lz4Config.encode({ maxDistance: 0xffff, maxClusterBlocks: 16 })),
    '0e00ffff1000' + '00'.repeat(10),
  );
  t.equal(hex(z.ZstdConfig.encode({ windowLogMinus10: 7 })), '0600' + '0007' + '00000000');
  t.equal(
    hex(z.MapHeader.encode({ advise: 2, algorithms: 3, clusterBits: 0 })),
    '00000000' + '0200' + '03' + '00' + '0000000000000000',
  );
  t.equal(
    hex(z.HeadEntry.encode({ type: z.ClusterType.HEAD, clusterOffset: 5, blkaddr: 0x12345678 })),
    '0100' + '0500' + '78563412',
  );
  t.equal(
    hex(z.NonheadEntry.encode({ back: z.CLUSTER_SIZE | 3, on: 15 })),
    '0200' + '0000' + '0308' + '0f00',
  );
  t.throws(() => z.NonheadEntry.decode(Buffer.alloc(8)), { code: 'CORRUPT' });
});
