import t from 'tap';
import { HEAD_SIZE, parseBootstrap, versionAt } from '../../../lib/bootstrap/parse.js';
import { failure, golden } from '../../support/images/golden.js';

t.test('tells versions, and what is no bootstrap', t => {
  t.equal(parseBootstrap(golden('merge.v6')).version, 6);
  t.ok(versionAt(golden('merge.v6').subarray(0, HEAD_SIZE)));
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(8192), golden('inline.kinds.zstd', 'blob')]) {
    t.notOk(versionAt(bytes));
    const error = failure(() => parseBootstrap(bytes));
    t.match(error, { code: 'CORRUPT', message: 'invalid RAFS superblock' });
  }
  t.end();
});
