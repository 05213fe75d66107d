import t from 'tap';
import { hasExplicitOwners, inconsistency, settingsOf } from '../../../lib/bootstrap/settings.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { golden } from '../../support/images/golden.js';

const v6 = parseBootstrap(golden('merge.v6'));
const due = settingsOf(v6);

t.test('an image agrees with itself, whatever its compressor', async t => {
  for (const name of ['merge.v6', 'tar-rafs.kinds.zstd.v6', 'merge.v5', 'tarfs.kinds']) {
    const image = parseBootstrap(golden(name));
    t.equal(inconsistency(settingsOf(image), image), undefined, name);
  }
  t.equal(inconsistency(due, parseBootstrap(golden('tar-rafs.kinds.zstd.v6'))), undefined);
  t.equal(inconsistency({ ...due, digester: 'sha256' }, v6), undefined, 'nor its digester, in v6');
});

t.test('each difference is told in the words of nydus-image', async t => {
  const because = (more: Partial<typeof due>, image = v6): string | undefined =>
    inconsistency({ ...due, ...more }, image);
  t.equal(
    because({ chunkSize: 4096 }),
    'Inconsistent RAFS Filesystem: Inconsistent configuration of chunk_size: 4096 vs 1048576',
  );
  t.equal(
    because({ explicitUidGid: false }),
    'Inconsistent RAFS Filesystem: Using inconsistent explicit_uidgid setting false, ' +
      'target explicit_uidgid setting true',
  );
  const v5 = parseBootstrap(golden('merge.v5'));
  t.equal(
    because({}, v5),
    'Inconsistent RAFS Filesystem: Using inconsistent RAFS version V6, target RAFS version Ok(V5)',
  );
  t.equal(
    because({ version: 5, digester: 'sha256' }, v5),
    'Inconsistent RAFS Filesystem: RAFS v5 can not support different digest algorithm ' +
      'due to inode digest, Sha256 vs Blake3',
  );
  t.equal(
    because({ tarfs: true }),
    'Inconsistent RAFS Filesystem: Using inconsistent RAFS TARFS mode',
  );
});

t.test('whether owners are said is a flag', async t => {
  t.equal(hasExplicitOwners(0x10), true);
  t.equal(hasExplicitOwners(0x8000_0000), false);
  t.equal(hasExplicitOwners(0x8000_0010), true);
});
