import t from 'tap';
import { objectName, objectPath } from '../../../streams/storage/object-path.js';

t.test('a prefix is just put before', async t => {
  t.equal(objectName({ objectPrefix: '' }, 'abc'), 'abc');
  t.equal(objectName({ objectPrefix: 'dir/pre-' }, 'abc'), 'dir/pre-abc');
  t.equal(objectName({ objectPrefix: 'é/' }, Buffer.from('é').toString('latin1')), 'é/é');
});

t.test('in an address slashes stay, and nothing else ends a path', async t => {
  t.equal(objectPath({ objectPrefix: 'a b/?#%/' }, 'x+y'), 'a%20b/%3F%23%25/x%2By');
});
