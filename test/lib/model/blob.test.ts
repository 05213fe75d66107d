import t from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import { holdsKey } from '../../../lib/model/blob.js';
import { golden } from '../../support/images/golden.js';

t.test('bootstraps of nydus-image that hold the key of a blob', t => {
  const blobsOf = (name: string) => parseBootstrap(golden(name)).blobs.map(blobElsewhere);
  t.equal(holdsKey(blobsOf('encrypt.kinds.zstd')), true);
  t.equal(holdsKey(blobsOf('tar-rafs.kinds.zstd.v6')), false);
  t.equal(holdsKey([]), false);
  t.end();
});
