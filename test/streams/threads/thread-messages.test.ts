import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import { errorOf, failureOf } from '../../../streams/threads/thread-messages.js';

t.test('an error is the same in another thread', async t => {
  const errors = [
    new RafsError('CORRUPT', 'it is broken', { record: 'Inode', offset: 7 }),
    Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }),
    new TypeError('wrong'),
  ];
  for (const error of errors) {
    const { message, code, at } = error as RafsError;
    const got = errorOf(structuredClone(failureOf(error)));
    t.match(got, { message, ...(code ? { code } : {}), ...(at ? { at } : {}) });
    t.equal(got instanceof RafsError, error instanceof RafsError);
  }
  t.match(errorOf(failureOf('text')), { message: 'text' });
});
