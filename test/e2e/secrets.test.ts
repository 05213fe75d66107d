/** No secret of a configuration is in anything that the program says, at any level of its log. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { cli, succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { serve, type Handler } from '../support/servers/http.js';
import { layerPath } from '../support/tar/layers.js';

const SECRETS = [
  'Zm9vOnNlY3JldC1hdXRo',
  'secret-key',
  'secret-session',
  'secret-header',
  'secret-proxy',
];

/** What servers may answer: some of it repeats what they were sent. */
const ANSWERS: Record<string, Handler> = {
  refused: (_request, response) => response.writeHead(403).end('no'),
  broken: (_request, response) => response.writeHead(500).end('{"errors":[{"message":"down"}]}'),
  challenged: (request, response) =>
    response
      .writeHead(401, {
        'www-authenticate': `Bearer realm="http://${request.headers.host}/token",service="s"`,
      })
      .end(),
  elsewhere: (_request, response) =>
    response.writeHead(307, { location: 'http://127.0.0.1:1/x' }).end(),
};

t.test('errors and logs have no secrets', async t => {
  const folder = temporaryDirectory(t);
  const boot = path.join(folder, 'boot');
  await succeed(t, [
    ...['create', '-t', 'tar-rafs', '-B', boot, '-D', folder, '-l', 'warn'],
    layerPath('kinds.tar.gz'),
  ]);
  const server = await serve(t, ANSWERS.refused!);
  const { host } = server;
  const http = { retry_limit: 0, timeout: 5, connect_timeout: 5 };
  const backends: Record<string, object> = {
    registry: { ...http, scheme: 'http', host, repo: 'app', auth: SECRETS[0] },
    s3: {
      ...http,
      ...{ scheme: 'http', endpoint: host, region: 'r', bucket_name: 'b' },
      ...{ access_key_id: 'id', access_key_secret: SECRETS[1], session_token: SECRETS[2] },
    },
    'http-proxy': { ...http, addr: `http://user:${SECRETS[4]}@${host}` },
  };
  for (const [answer, handler] of Object.entries(ANSWERS)) {
    server.handler = handler;
    for (const [type, config] of Object.entries(backends)) {
      server.asked = [];
      const file = path.join(folder, 'config');
      fs.writeFileSync(file, JSON.stringify(config));
      const argv = ['unpack', boot, '--backend-type', type, '--backend-config-file', file];
      const ran = await cli([...argv, '--output', path.join(folder, 'tar'), '-l', 'trace'], {
        env: { NYDUS_HEADER_X_Secret: SECRETS[3]! },
      });
      t.equal(ran.exit, 1, `${type} ${answer}`);
      t.ok(server.asked.length > 0, `${type} ${answer}: the server was asked`);
      const said = ran.stdout.toString() + ran.stderr;
      for (const secret of SECRETS) t.notOk(said.includes(secret), `${type} ${answer}: ${secret}`);
    }
  }
});
