import t from 'tap';
import { HttpClient } from '../../../streams/http/client.js';
import { Authorizer, mergeScopes } from '../../../streams/registry/authorizer.js';
import { serve } from '../../support/servers/http.js';

t.test('scopes of one resource are one', async t => {
  t.strictSame(mergeScopes(['repository:a:push', 'repository:b:pull', 'repository:a:pull,push']), [
    'repository:a:pull,push',
    'repository:b:pull',
  ]);
});

t.test('a password goes to no token server without TLS, if the registry has it', async t => {
  const tokens = await serve(t, (_request, response) => response.end('{"token":"x"}'));
  const http = { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 };
  const client = new HttpClient({ http });
  client.acquire();
  t.teardown(() => client.release());
  const { signal } = new AbortController();
  let secure = true;
  const authorizer = new Authorizer({
    client,
    host: 'registry.example',
    credentials: async () => ({ kind: 'password', username: 'u', password: 'p' }),
    isSecure: () => secure,
    signal,
  });
  const access = { repository: 'app', scopes: ['repository:app:pull'] };
  t.equal(await authorizer.authorization(access), undefined);
  const headers = { 'www-authenticate': `Bearer realm="${tokens.url}"` };
  t.equal(authorizer.refused({ status: 401, headers, url: '' }, undefined), true);
  await t.rejects(authorizer.authorization(access), {
    code: 'BACKEND',
    message: 'credentials are not sent to a token server without TLS',
  });
  t.equal(tokens.asked.length, 0);
  secure = false;
  t.equal(await authorizer.authorization(access), 'Bearer x');
  const both = [authorizer.authorization(access), authorizer.authorization(access)];
  t.strictSame(await Promise.all(both), ['Bearer x', 'Bearer x']);
  t.equal(tokens.asked.length, 1);
});
