import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { certificateFolders, findCertificates } from '../../../streams/registry/certificates.js';
import { temporaryDirectory } from '../../support/process/fs.js';

t.test('the first folder that has one for the registry', async t => {
  const root = temporaryDirectory(t);
  const folders = [path.join(root, 'own'), path.join(root, 'all')];
  const write = (name: string): string => {
    const file = path.join(root, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, '');
    return file;
  };
  t.strictSame(await findCertificates('a.example:5000', folders), { caCertFiles: [] });
  const authority = write('all/a.example:5000/ca.crt');
  write('all/a.example:5000/README');
  const found = { caCertFiles: [authority] };
  t.strictSame(await findCertificates('a.example:5000', folders), found);
  const certFile = write('all/a.example:5000/client.cert');
  await t.rejects(findCertificates('a.example:5000', folders), {
    code: 'UNSUPPORTED',
    message: 'a certificate has no key',
    at: { file: certFile },
  });
  const keyFile = write('all/a.example:5000/client.key');
  const clientCertificate = { certFile, keyFile };
  t.strictSame(await findCertificates('a.example:5000', folders), { ...found, clientCertificate });
  const lonely = write('own/a.example:5000/x.key');
  await t.rejects(findCertificates('a.example:5000', folders), {
    message: 'a key has no certificate',
    at: { file: lonely },
  });
  t.strictSame(await findCertificates('a.example', folders), { caCertFiles: [] });
});

t.test('where they are', async t => {
  t.strictSame(certificateFolders({ HOME: '/h' }), [
    '/h/.config/containers/certs.d',
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ]);
  t.equal(certificateFolders({ XDG_CONFIG_HOME: '/x' })[0], '/x/containers/certs.d');
});
