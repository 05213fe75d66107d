import t from 'tap';
import { BlobTable, blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import type { BlobRecord } from '../../../lib/model/stored.js';
import { BlobFeature } from '../../../lib/layout/blob.js';
import { blobInfo } from '../../support/images/chunks.js';

const record = (more: Partial<BlobRecord>): BlobRecord => ({
  ...blobInfo(),
  index: 0,
  storedId: 'x',
  cipher: 0,
  mappedBlkaddr: 0,
  readaheadOffset: 0,
  readaheadSize: 0,
  ...more,
});

t.test('blobs come in the order of first need, those below first', async t => {
  const [a, b, c] = ['a', 'b', 'c'].map(id => blobInfo({ id })) as [
    ReturnType<typeof blobInfo>,
    ReturnType<typeof blobInfo>,
    ReturnType<typeof blobInfo>,
  ];
  const table = new BlobTable([a]);
  t.equal(table.indexOf(b), 1);
  t.equal(table.ownIndex, 2);
  t.equal(table.indexOf(c), 3);
  t.equal(table.indexOf(blobInfo({ id: 'a' })), 0, 'by id');
  t.equal(table.indexOf(b), 1);
  t.equal(table.ownIndex, 2);
  const own = blobInfo({ id: 'own' });
  t.same(
    table.finish(own).map(({ id }) => id),
    ['a', 'b', 'own', 'c'],
  );
});

t.test('a blob that nothing needed is last', async t => {
  const table = new BlobTable([blobInfo({ id: 'a' })]);
  t.same(
    table.finish(blobInfo({ id: 'own' })).map(({ id }) => id),
    ['a', 'own'],
  );
  t.same(new BlobTable().finish(undefined), []);
});

t.test('256 blobs and no more', async t => {
  const table = new BlobTable();
  for (let i = 0; i < 256; i++) table.indexOf(blobInfo({ id: `${i}` }));
  t.throws(() => table.indexOf(blobInfo({ id: 'more' })), { code: 'LIMIT' });
  t.throws(() => table.ownIndex, { code: 'LIMIT' });
  t.equal(table.indexOf(blobInfo({ id: '255' })), 255);
});

t.test('in another image a blob has no bootstrap inlined', async t => {
  const plain = record({ features: 0x4000_0001 });
  t.equal(blobElsewhere(plain), plain);
  const inlined = record({ features: 0x5000_0001 + BlobFeature.INLINED_FS_META });
  t.equal(blobElsewhere(inlined).features, 0x5000_0001);
  t.same(blobElsewhere(inlined).metaDigest, inlined.metaDigest);
});

t.test('the file with metadata of a layer is known by its name, if that is a digest', async t => {
  const features = BlobFeature.INLINED_FS_META + BlobFeature.SEPARATE;
  const digest = 'ab'.repeat(32);
  t.equal(blobElsewhere(record({ features, metaFile: digest })).metaDigest.toString('hex'), digest);
  t.same(blobElsewhere(record({ features, metaFile: 'boot' })).metaDigest, Buffer.alloc(32));
});
