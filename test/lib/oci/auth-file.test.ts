import t from 'tap';
import {
  credentialIn,
  helperAnswer,
  helperOf,
  helperServer,
  parseAuthFile,
} from '../../../lib/oci/auth-file.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const parse = (value: unknown) => parseAuthFile(Buffer.from(JSON.stringify(value)), 'file');
const login = (username: string, password: string) => ({ kind: 'password', username, password });

t.test('entries by host, by address, by the path of a repository', async t => {
  const file = parse({
    auths: {
      'https://index.docker.io/v1/': { auth: base64('hub:a:b') },
      'registry.example': { auth: base64('host:x') },
      'registry.example/team': { username: 'team', password: 'y' },
      'registry.example/team/app': { auth: base64('app:z') },
      'http://old.example/v2/': { identitytoken: 'refresh', auth: base64('<token>:') },
      'token.example': { auth: base64('<token>:secret') },
      'bearer.example': { registrytoken: 'bearer' },
      'empty.example': {},
      'broken.example': 7,
    },
  });
  for (const [host, repository, due] of [
    ['docker.io', 'library/app', login('hub', 'a:b')],
    ['registry.example', 'other/app', login('host', 'x')],
    ['registry.example', 'team/other', login('team', 'y')],
    ['registry.example', 'team/app', login('app', 'z')],
    ['registry.example', 'team/app/more', login('app', 'z')],
    ['registry.example', 'teams', login('host', 'x')],
    ['old.example', 'app', { kind: 'identity', token: 'refresh' }],
    ['token.example', 'app', { kind: 'identity', token: 'secret' }],
    ['bearer.example', 'app', { kind: 'bearer', token: 'bearer' }],
    ['empty.example', 'app', undefined],
    ['broken.example', 'app', undefined],
    ['registry.example:5000', 'app', undefined],
  ] as const) {
    t.strictSame(credentialIn(file, host, repository), due, `${host}/${repository}`);
  }
});

t.test('helpers', async t => {
  const file = parse({ credHelpers: { 'a.example': 'one' }, credsStore: 'all' });
  t.equal(helperOf(file, 'a.example'), 'one');
  t.equal(helperOf(file, 'docker.io'), 'all');
  t.equal(helperOf(parse({}), 'docker.io'), undefined);
  t.equal(helperServer('docker.io'), 'https://index.docker.io/v1/');
  t.equal(helperServer('a.example:1'), 'a.example:1');
  for (const name of ['../x', '/bin/sh', 'a b', '', '.x', 7]) {
    t.throws(() => parse({ credHelpers: { a: name } }), { code: 'UNSUPPORTED' }, String(name));
    if (name !== '') t.throws(() => parse({ credsStore: name }), { code: 'UNSUPPORTED' });
  }
});

t.test('what helpers print', async t => {
  const answer = (text: string, ok = true) => helperAnswer(Buffer.from(text), ok);
  t.strictSame(answer('{"ServerURL":"x","Username":"u","Secret":"s"}'), login('u', 's'));
  t.strictSame(answer('{"Username":"<token>","Secret":"s"}'), { kind: 'identity', token: 's' });
  t.equal(answer('{"Username":"","Secret":""}'), 'unknown');
  t.equal(answer('credentials not found in native keychain\n', false), 'unknown');
  for (const text of ['', 'x', '[]', 'null']) t.equal(answer(text), 'invalid', text);
  t.equal(answer('no idea', false), 'invalid');
});

t.test('files that are none', async t => {
  for (const text of ['', 'x', '[]', 'null', '7']) {
    t.throws(() => parseAuthFile(Buffer.from(text), 'here'), {
      code: 'UNSUPPORTED',
      at: { file: 'here' },
    });
  }
});
