import fc from 'fast-check';
import t from 'tap';
import { environmentProxy, isLoopback } from '../../../lib/config/environment-proxy.js';
import { RafsError } from '../../../lib/errors.js';

const PROXIES = { HTTP_PROXY: 'http://proxy.example:3128', HTTPS_PROXY: 'https://u:p@tls.example' };
const proxyFor = (url: string, more: Record<string, string> = {}): string | undefined =>
  environmentProxy(new URL(url), { ...PROXIES, ...more })?.href;

t.test('by scheme, in either case', async t => {
  t.equal(proxyFor('http://a.example/'), 'http://proxy.example:3128/');
  t.equal(proxyFor('https://a.example/'), 'https://u:p@tls.example/');
  t.equal(environmentProxy(new URL('http://a.example'), {}), undefined);
  t.equal(environmentProxy(new URL('http://a.example'), { HTTP_PROXY: '' }), undefined);
  const lower = environmentProxy(new URL('http://a.example'), { http_proxy: 'proxy:1' });
  t.equal(lower?.href, 'http://proxy:1/');
});

t.test('not for this machine', async t => {
  for (const host of ['localhost', 'a.localhost', '127.0.0.1:5000', '127.1.2.3', '[::1]:5000']) {
    t.equal(proxyFor(`http://${host}/`), undefined, host);
    t.ok(isLoopback(new URL(`http://${host}`).hostname), host);
  }
  t.notOk(isLoopback('localhost.example'));
  t.notOk(isLoopback('127.0.0.1.example'));
});

t.test('not for what NO_PROXY names', async t => {
  for (const [list, url, excluded] of [
    ['*', 'http://a.example/', true],
    ['a.example', 'http://a.example/', true],
    ['a.example', 'http://b.a.example/', true],
    ['a.example', 'http://ba.example/', false],
    ['.a.example', 'http://a.example/', false],
    ['.a.example', 'http://b.a.example/', true],
    ['*.a.example', 'http://b.a.example/', true],
    ['x, a.example:80 ,y', 'http://a.example/', true],
    ['a.example:81', 'http://a.example/', false],
    ['a.example:443', 'https://a.example/', true],
    ['10.0.0.0/8', 'http://10.1.2.3/', true],
    ['10.0.0.0/8', 'http://11.1.2.3/', false],
    ['10.1.2.3', 'http://10.1.2.3/', true],
    ['A.EXAMPLE', 'http://a.example/', true],
    ['fe80::1', 'http://[fe80::1]/', true],
    ['[fe80::1]:80', 'http://[fe80::1]/', true],
    [',, ', 'http://a.example/', false],
  ] as const) {
    t.equal(proxyFor(url, { NO_PROXY: list }) === undefined, excluded, `${list} ${url}`);
  }
});

t.test('proxies that are none', async t => {
  for (const value of ['http://', 'socks5://proxy:1', '::', 'http://a b']) {
    t.throws(
      () => proxyFor('http://a.example', { HTTP_PROXY: value }),
      { code: 'UNSUPPORTED' },
      value,
    );
  }
});

t.test('any variable', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (HTTP_PROXY, NO_PROXY) => {
      try {
        proxyFor('http://a.example', { HTTP_PROXY, NO_PROXY });
        return true;
      } catch (error) {
        return error instanceof RafsError;
      }
    }),
  );
});
