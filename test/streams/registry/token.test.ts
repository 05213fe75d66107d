import t, { type Test } from 'tap';
import { HttpClient } from '../../../streams/http/client.js';
import { fetchToken, type TokenRequest } from '../../../streams/registry/token.js';
import { serve, type Handler } from '../../support/servers/http.js';

const { signal } = new AbortController();
const http = { skipVerify: false, caCertFiles: [], timeout: 5, connectTimeout: 5 };

/** A token server, and what it was asked with which body. */
const serverOf = async (t: Test, answer: (method: string) => [status: number, body: string]) => {
  const bodies: string[] = [];
  const handler: Handler = (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      bodies.push(Buffer.concat(pieces).toString());
      const [status, body] = answer(request.method!);
      response.writeHead(status, { 'retry-after': '7' }).end(body);
    });
  };
  const server = await serve(t, handler);
  const client = new HttpClient({ http });
  client.acquire();
  t.teardown(() => client.release());
  const fetch = (more: Partial<TokenRequest> = {}) =>
    fetchToken(client, {
      realm: new URL(`${server.url}/token?x=1`),
      service: 'registry.example',
      scopes: ['repository:a:pull', 'repository:b:pull'],
      credential: undefined,
      signal,
      ...more,
    });
  return { server, bodies, fetch };
};

const PASSWORD = { kind: 'password', username: 'u', password: 'p:w' } as const;
const QUERY =
  'x=1&service=registry.example&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull';

t.test('by GET, with a password or nobody', async t => {
  const { server, fetch } = await serverOf(t, () => [200, '{"access_token":"abc"}']);
  t.same(await fetch(), { token: 'abc', lifetime: 60_000 });
  await fetch({ credential: PASSWORD, service: undefined, scopes: [] });
  t.equal(server.asked[0]!.url, `/token?${QUERY}`);
  t.equal(server.asked[0]!.headers.authorization, undefined);
  t.equal(server.asked[1]!.url, '/token?x=1&account=u');
  t.equal(server.asked[1]!.headers.authorization, 'Basic dTpwOnc=');
});

t.test('by POST, with an identity, or where GET is not known', async t => {
  const answer = '{"token":"t","expires_in":300,"refresh_token":"next"}';
  const { server, bodies, fetch } = await serverOf(t, method =>
    method === 'GET' ? [405, ''] : [200, answer],
  );
  const made = { token: 't', lifetime: 300_000, identity: 'next' };
  t.same(await fetch({ credential: { kind: 'identity', token: 'id' } }), made);
  t.same(await fetch({ credential: PASSWORD }), made);
  t.same(
    server.asked.map(({ method }) => method),
    ['POST', 'GET', 'POST'],
  );
  const form = (body: string) => Object.fromEntries(new URLSearchParams(body));
  const common = { service: 'registry.example', scope: 'repository:a:pull repository:b:pull' };
  t.match(form(bodies[0]!), { ...common, grant_type: 'refresh_token', refresh_token: 'id' });
  t.match(form(bodies[2]!), { grant_type: 'password', username: 'u', password: 'p:w' });
});

t.test('answers that are of no use', async t => {
  let answer: [number, string] = [200, ''];
  const { fetch } = await serverOf(t, () => answer);
  for (const body of ['', '[]', 'null', '{"token":""}', '{"token":"a b"}', '{"token":{}}']) {
    answer = [200, body];
    await t.rejects(fetch(), { code: 'BACKEND', message: 'the token server sent no token' }, body);
  }
  answer = [401, '{"errors":[{"code":"DENIED","message":"go away"}]}'];
  await t.rejects(fetch(), { message: /401.*go away/ });
  answer = [503, ''];
  await t.rejects(fetch(), { name: 'RafsError', message: /503/, retryAfter: 7000 });
  answer = [200, '{"token":"t","expires_in":"soon"}'];
  t.same(await fetch(), { token: 't', lifetime: 60_000 });
});
