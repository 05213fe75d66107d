/** A token server of ours, and a door that lets pass who comes with one of its tokens. */
import { serve, type Handler } from './http.js';

interface Teardown {
  teardown(work: () => unknown): void;
}

export interface TokenServerOptions {
  /** what else a challenge says than its realm */
  service?: string;
  /** user and password, as `user:pass` */
  login?: string;
  identity?: string;
  /** status for a token that is no longer good */
  expiredStatus?: number;
  /** scopes are in the challenge, as most registries write them */
  challengeScope?: boolean;
}

/** What a request needs: `pull` to read, `push` for all else. */
const actionOf = (method = ''): string => (['GET', 'HEAD'].includes(method) ? 'pull' : 'push');

export const tokenServer = async (t: Teardown, options: TokenServerOptions = {}) => {
  const { login, identity, service, expiredStatus = 401, challengeScope = true } = options;
  /** scopes by token */
  const tokens = new Map<string, string[]>();
  const forms: Record<string, string>[] = [];
  let count = 0;
  const server = await serve(t, (request, response) => {
    let body = '';
    request.on('data', piece => (body += String(piece)));
    request.on('end', () => {
      const { searchParams } = new URL(request.url!, 'http://tokens');
      const form = request.method === 'POST' ? new URLSearchParams(body) : searchParams;
      forms.push(Object.fromEntries(form));
      const basic = request.headers.authorization;
      const isKnown =
        form.get('grant_type') === 'refresh_token'
          ? form.get('refresh_token') === identity
          : login === undefined || basic === `Basic ${Buffer.from(login).toString('base64')}`;
      if (!isKnown) {
        const details = JSON.stringify({ details: 'incorrect username or password' });
        response.writeHead(401).end(details);
        return;
      }
      const token = `token-${++count}`;
      tokens.set(
        token,
        form.getAll('scope').flatMap(scope => scope.split(' ')),
      );
      response.end(JSON.stringify({ token, expires_in: 300 }));
    });
  });
  /** Lets through who may do what the request does. */
  const guard =
    (then: Handler): Handler =>
    (request, response) => {
      const repository = /^\/v2\/(.+?)\/(?:blobs|manifests|referrers)\//.exec(request.url!)?.[1];
      const needed = `repository:${repository}`;
      const action = actionOf(request.method);
      const sent = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
      const scopes = tokens.get(sent ?? '') ?? [];
      const may = scopes.some(scope => {
        const colon = scope.lastIndexOf(':');
        return (
          scope.slice(0, colon) === needed &&
          scope
            .slice(colon + 1)
            .split(',')
            .includes(action)
        );
      });
      if (may) return then(request, response);
      request.resume();
      const scope = `${needed}:${action === 'pull' ? 'pull' : 'pull,push'}`;
      const challenge = [
        `Basic realm="elsewhere", Bearer realm="${server.url}/token"`,
        ...(service === undefined ? [] : [`service="${service}"`]),
        ...(challengeScope ? [`scope="${scope}"`] : []),
      ].join(',');
      const status = sent === undefined ? 401 : expiredStatus;
      response.writeHead(status, status === 401 ? { 'www-authenticate': challenge } : {});
      response.end(JSON.stringify({ errors: [{ code: 'DENIED', message: 'access is denied' }] }));
    };
  return { server, tokens, forms, guard };
};
