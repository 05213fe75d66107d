/** The benchmark of images works, on a very small one; its slow link keeps bytes in order. */
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openLink } from '../../benchmarks/slow-link.js';
import { withoutProgram } from '../support/images/oci-layout.js';
import { PLAIN } from '../support/process/cli.js';
import { numbers } from '../support/random.js';
import { withoutRegistry } from '../support/servers/storage-servers.js';

const IMAGES = fileURLToPath(new URL('../../benchmarks/images.js', import.meta.url));

const withoutTime = spawnSync('time', ['-f', '%M', 'true']).error !== undefined && 'needs GNU time';
const skip = withoutRegistry() || withoutProgram('skopeo', '--version') || withoutTime;

t.test('rows', { skip, timeout: 300_000 }, async t => {
  const [program, ...plain] = PLAIN;
  const argv = ['--only', 'debian', '--runs', '1', '--scale', '0.005'];
  const env = { ...process.env, NYDUSIFY: '', NYDUS_IMAGE: '' };
  const out = execFileSync(program, [...plain, process.execPath, IMAGES, ...argv], { env });
  const rows = out.toString().trim().split('\n').slice(2);
  const cells = rows.map(row => row.split('|').map(cell => cell.trim()));
  t.same(
    cells.map(([, , , mode, link, who]) => `${mode}, ${link}, ${who}`),
    ['native', 'zran'].flatMap(mode => [
      `${mode}, loopback, rafs-stream`,
      `${mode}, 20 ms, 100 MB/s, rafs-stream`,
      `${mode}, loopback, again, cached`,
    ]),
  );
  for (const [, , , , , , wall] of cells) t.ok(Number(wall) > 0, `${wall} s`);
});

t.test('a slow link', async t => {
  const next = numbers(3);
  const sent = Buffer.from(Array.from({ length: 300_000 }, () => next(256)));
  const server = net.createServer({ allowHalfOpen: true }, socket => void socket.pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as net.AddressInfo; // it listens on TCP
  const shape = { roundTrip: 4, bytesPerSecond: 30_000_000 };
  const link = await openLink({ host: '127.0.0.1', port }, shape);
  t.teardown(() => link.close());
  const socket = net.connect({ port: link.port, host: '127.0.0.1', allowHalfOpen: true });
  for (let at = 0; at < sent.length; at += 7_001) socket.write(sent.subarray(at, at + 7_001));
  socket.end();
  t.ok((await buffer(socket)).equals(sent), 'as it was sent');
});
