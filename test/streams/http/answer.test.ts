import t from 'tap';
import {
  headerOf,
  headersOf,
  isPassing,
  isRedirect,
  isTlsFailure,
  plainly,
  retryAfterOf,
  shownUrl,
  statusText,
  type HttpHead,
} from '../../../streams/http/answer.js';

const head = (status: number, headers: HttpHead['headers'] = {}): HttpHead => ({
  status,
  headers,
  url: 'http://host/',
});

t.test('headers that come once, twice or never', async t => {
  const answer = head(200, { one: 'a', two: ['b', 'c'] });
  t.equal(headerOf(answer, 'one'), 'a');
  t.equal(headerOf(answer, 'two'), 'b');
  t.equal(headerOf(answer, 'none'), undefined);
  t.strictSame(headersOf(answer, 'one'), ['a']);
  t.strictSame(headersOf(answer, 'two'), ['b', 'c']);
  t.strictSame(headersOf(answer, 'none'), []);
});

t.test('a URL is shown without what may be secret', async t => {
  t.equal(
    shownUrl(new URL('https://user:pass@host:5000/a/b?signature=x#y')),
    'https://host:5000/a/b',
  );
  t.equal(shownUrl(new URL('foo://user:pass@host/a?b')), 'foo://host/a');
});

t.test('what a status means', async t => {
  for (const status of [408, 429, 500, 503, 599]) t.ok(isPassing(status), `${status}`);
  for (const status of [200, 307, 400, 401, 404, 416]) t.notOk(isPassing(status), `${status}`);
  for (const status of [301, 302, 303, 307, 308]) t.ok(isRedirect(head(status)), `${status}`);
  for (const status of [200, 300, 304, 400]) t.notOk(isRedirect(head(status)), `${status}`);
  t.equal(statusText(404), '404 Not Found');
  t.equal(statusText(599), '599');
});

t.test('how long to wait: seconds or a date', async t => {
  const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT');
  const after = (value: string): number | undefined =>
    retryAfterOf(head(503, { 'retry-after': value }), now);
  t.equal(after('0'), 0);
  t.equal(after(' 120 '), 120_000);
  t.equal(after('Wed, 21 Oct 2015 07:28:05 GMT'), 5000);
  t.equal(after('Wed, 21 Oct 2015 07:27:00 GMT'), 0, 'one that has passed');
  for (const value of ['', '-1', '1.5', 'soon', '99999999999']) t.equal(after(value), undefined);
  t.equal(retryAfterOf(head(503)), undefined);
});

t.test('a failure in one sentence, with its causes', async t => {
  const first = new Error('connect ECONNREFUSED 127.0.0.1:1');
  t.equal(plainly(new AggregateError([first, new Error('other')])).message, first.message);
  const wrapped = plainly(new Error('outer', { cause: first }));
  t.match(wrapped, { message: 'outer', cause: { message: first.message } });
  t.equal(plainly('text').message, 'text');
  t.equal(plainly(new TypeError()).message, 'TypeError');
});

t.test('a server that does not speak TLS', async t => {
  const ssl = new Error('write EPROTO', { cause: new Error('SSL routines: wrong version number') });
  t.ok(isTlsFailure(ssl));
  t.ok(isTlsFailure(new Error('connect ECONNREFUSED')), 'nobody listens there');
  t.notOk(isTlsFailure(new Error('the request timed out')));
  t.notOk(isTlsFailure('ssl'));
});
