import t from 'tap';
import { parseBackend } from '../../../lib/config/backends.js';
import { openStorage } from '../../../streams/storage/open-storage.js';
import { closedPort } from '../../support/servers/http.js';

t.test('each kind is opened, and asks where it is told to', async t => {
  const host = `127.0.0.1:${await closedPort()}`;
  const scheme = 'http';
  const keys = { scheme, access_key_id: 'id', access_key_secret: 'secret' };
  const url = `http://${host}`;
  const proxy = { url, fallback: false };
  const kinds = [
    ['localfs', { dir: '/none' }, { code: 'ENOENT', path: '/none/blob' }],
    ['localdisk', { device_path: '/none' }, { code: 'BACKEND', at: { file: '/none' } }],
    ['http-proxy', { addr: url }, { at: { url: `${url}/blob` } }],
    ['registry', { scheme, host, repo: 'r' }, { at: { url: `${url}/v2/r/blobs/sha256:blob` } }],
    [
      's3',
      { ...keys, endpoint: host, region: 'r', bucket_name: 'b' },
      { at: { url: `${url}/b/blob` } },
    ],
    [
      'oss',
      { ...keys, endpoint: 'oss.test', bucket_name: 'b', proxy },
      { at: { url: 'http://b.oss.test/blob' } },
    ],
  ] as const;
  await Promise.all(
    kinds.map(async ([type, config, place]) => {
      const storage = await openStorage(parseBackend(type, config));
      const error = await storage.open('blob').catch((e: unknown) => e);
      t.match(error, place, type);
      t.ok(error instanceof Error, type);
    }),
  );
});
