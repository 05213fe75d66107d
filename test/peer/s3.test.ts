/** A server of S3 that is not ours, which verifies signatures: rclone's gofakes3. */
import fs from 'node:fs';
import t from 'tap';
import { cli, hasFailed, succeed } from '../support/process/cli.js';
import { buildGo } from '../support/peers/go.js';
import { imageOf } from '../support/images/image-of.js';
import { madeTar } from '../support/tar/layers.js';
import { startS3 } from '../support/servers/storage-servers.js';

const { program, missing: skip } = buildGo('s3-server');

t.test('unpack, check', { skip }, async t => {
  const { at } = await imageOf(t, ['-t', 'tar-rafs'], madeTar('debian', { scale: 0.02 }));
  const objects = { bucket: 'layers', prefix: 'dir with blanks/é+', key: 'AKID', secret: 's3/+=' };
  const endpoint = await startS3(t, program!, { directory: at('blobs'), ...objects });
  const config = {
    scheme: 'http',
    endpoint,
    region: 'eu-central-1',
    bucket_name: objects.bucket,
    object_prefix: objects.prefix,
    access_key_id: objects.key,
    access_key_secret: objects.secret,
  };
  const optionsOf = (more: object): string[] => [
    '--backend-type',
    's3',
    '--backend-config',
    JSON.stringify({ ...config, ...more }),
  ];
  const image = ['-B', at('boot'), '-l', 'warn'];
  await succeed(t, ['unpack', ...image, ...optionsOf({}), '--output', at('out')]);
  await succeed(t, ['unpack', ...image, '-D', at('blobs'), '--output', at('due')]);
  t.ok(fs.readFileSync(at('out')).equals(fs.readFileSync(at('due'))));
  const checked = await cli(['check', at('boot'), ...optionsOf({})]);
  t.match(checked, { exit: 0, stderr: /verified [1-9][0-9]* chunks/ });

  const refused = async (more: object, text: RegExp): Promise<void> => {
    const ran = await cli(['unpack', ...image, ...optionsOf(more), '--output', at('none')]);
    hasFailed(t, ran, JSON.stringify(more), 1, text);
    t.notMatch(ran.stderr, /s3\/\+=|AKID|Signature/);
    t.notOk(fs.existsSync(at('none')));
  };
  await refused({ access_key_secret: 'wrong' }, /answers 403 Forbidden/);
  await refused({ access_key_id: 'wrong' }, /answers 403 Forbidden/);
  await refused({ object_prefix: 'none' }, /answers 404 Not Found/);
  await refused({ bucket_name: 'none' }, /answers 404 Not Found/);
});
