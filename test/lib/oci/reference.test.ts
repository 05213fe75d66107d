import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import {
  formatReference,
  manifestName,
  parseReference,
  serverOf,
} from '../../../lib/oci/reference.js';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

t.test('names of Docker Hub and of others', async t => {
  for (const [text, full] of [
    ['app', 'docker.io/library/app:latest'],
    ['app:1', 'docker.io/library/app:1'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/app', 'docker.io/library/app:latest'],
    ['index.docker.io/user/app:x', 'docker.io/user/app:x'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest'],
    ['registry.example/a/b/c:v1.2-x_y', 'registry.example/a/b/c:v1.2-x_y'],
    ['registry:5000/app', 'registry:5000/app:latest'],
    ['UPPER/app', 'UPPER/app:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    [`app@${DIGEST}`, `docker.io/library/app@${DIGEST}`],
    [`app:1@${DIGEST}`, `docker.io/library/app:1@${DIGEST}`],
    ['a__b/c---d.e', 'docker.io/a__b/c---d.e:latest'],
    ['sha256', 'docker.io/library/sha256:latest'],
  ] as const) {
    t.equal(formatReference(parseReference(text)), full, text);
  }
});

t.test('what is not one', async t => {
  for (const [text, why] of [
    ['', /empty/],
    ['App', /must be lowercase/],
    ['registry.example/App', /must be lowercase/],
    ['app:', /invalid tag ''/],
    ['app:-x', /invalid tag/],
    [`app:${'x'.repeat(129)}`, /invalid tag/],
    ['app@sha256:12', /invalid digest/],
    ['app@md5:0123456789abcdef0123456789abcdef', /unknown digest algorithm 'md5'/],
    ['a//b', /invalid repository/],
    ['a_/b', /invalid repository/],
    ['a___b', /invalid repository/],
    ['-host.example/app', /invalid host/],
    ['host.example:99999/app', /invalid port/],
    ['host.example/', /repository is missing/],
    ['0123456789abcdef'.repeat(4), /image id/],
    [`host.example/${'a'.repeat(250)}`, /longer than 255/],
    ['host.example/app?x', /invalid repository/],
    ['user@host.example/app', /invalid digest/],
  ] as const) {
    t.throws(() => parseReference(text), { code: 'USAGE', message: why }, text);
  }
});

t.test('what to ask for, and whom', async t => {
  t.equal(manifestName({}), 'latest');
  t.equal(manifestName({ tag: '1' }), '1');
  t.equal(manifestName({ tag: '1', digest: DIGEST }), DIGEST);
  t.equal(serverOf('docker.io'), 'registry-1.docker.io');
  t.equal(serverOf('localhost:1'), 'localhost:1');
});

t.test('any text is a reference or refused, and a full name is itself', async () => {
  const text = fc.string({ unit: fc.constantFrom(...'aA1.:/@_-[]%? é'), maxLength: 40 });
  fc.assert(
    fc.property(text, text => {
      let full: string;
      try {
        full = formatReference(parseReference(text));
      } catch (error) {
        return error instanceof RafsError;
      }
      return formatReference(parseReference(full)) === full;
    }),
  );
});
