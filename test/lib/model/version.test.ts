import t from 'tap';
import { RAFS_VERSIONS, VERSION_NAMES, versionOf } from '../../../lib/model/version.js';

t.test('v6 is a file system image that describes its chunks in blobs, v5 neither', async t => {
  t.same(VERSION_NAMES.map(versionOf), [5, 6]);
  const { 5: old, 6: current } = RAFS_VERSIONS;
  t.same([old.isBlockImage, old.hasChunkInfo, old.canEncrypt, old.hasToc], Array(4).fill(false));
  const has = [current.isBlockImage, current.hasChunkInfo, current.canEncrypt, current.hasToc];
  t.same(has, Array(4).fill(true));
});
