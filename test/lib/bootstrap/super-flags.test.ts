import t from 'tap';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { flagNames, loadedText } from '../../../lib/bootstrap/super-flags.js';
import { golden } from '../../support/images/golden.js';

t.test('flags have their names in the order of their bits', t => {
  t.equal(
    flagNames(parseBootstrap(golden('tar-rafs.kinds.zstd.v6')).flags),
    'HASH_BLAKE3 | EXPLICIT_UID_GID | HAS_XATTR | COMPRESSION_ZSTD | ENCRYPTION_NONE',
  );
  t.equal(flagNames(0x0200_0000), 'ENCRYPTION_ASE_128_XTS');
  t.end();
});

t.test('the text of a loaded image says which version it is', t => {
  t.match(loadedText(parseBootstrap(golden('merge.v6'))), /^RAFS features: /);
  t.match(loadedText(parseBootstrap(golden('merge.v5'))), /^RAFS v5 super block features: /);
  t.end();
});
