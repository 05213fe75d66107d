import t from 'tap';
import { VeritySuperBlock } from '../../../lib/layout/verity.js';

t.test('fields lie where cryptsetup has them', t => {
  const salt = Buffer.alloc(256, 5);
  const sizes = { dataBlockSize: 512, hashBlockSize: 4096, dataBlocks: 7, saltSize: 256 };
  const bytes = VeritySuperBlock.encode({ uuid: Buffer.alloc(16, 1), ...sizes, salt });
  t.equal(bytes.length, 512);
  t.equal(bytes.toString('latin1', 0, 8), 'verity\0\0');
  t.equal(bytes.readUInt32LE(64), 512);
  t.equal(bytes.readUInt32LE(72), 7);
  t.equal(bytes.readUInt16LE(80), 256);
  t.equal(bytes[88], 5);
  t.end();
});
