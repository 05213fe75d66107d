import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { headBlob, uploadBlob, type UploadOptions } from '../../../streams/registry/blob-upload.js';
import { Registry } from '../../../streams/registry/client.js';
import { temporaryDirectory } from '../../support/process/fs.js';
import { numbers } from '../../support/random.js';
import { faultProxy, firstOf, type Plan } from '../../support/servers/fault-proxy.js';
import { startRegistry, withoutRegistry } from '../../support/servers/storage-servers.js';

const next = numbers(9);
const BLOB = Buffer.from(Array.from({ length: 1_000_000 }, () => next(256)));
const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const digest = digestOf(BLOB);
const size = BLOB.length;
const NO_FAULT: Plan = () => undefined;

async function* pieces(bytes = BLOB, pieceSize = 33_333): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceSize) yield bytes.subarray(at, at + pieceSize);
}

const skip = withoutRegistry();

/** A registry that is not ours, behind a proxy of faults. */
const opened = async (t: Test, plan = NO_FAULT) => {
  const directory = temporaryDirectory(t);
  const storage = { filesystem: { rootdirectory: directory } };
  const proxy = await faultProxy(
    t,
    await startRegistry(t, temporaryDirectory(t), { storage }),
    plan,
  );
  const none = async () => undefined;
  const registry = new Registry({
    host: proxy.host,
    scheme: 'http',
    credentials: none,
    pauses: [1, 1, 1],
  });
  t.teardown(() => registry.close());
  const repository = { registry, name: 'some/app' };
  const { signal } = new AbortController();
  const upload = (options: Partial<UploadOptions> = {}, bytes = pieces()) =>
    uploadBlob(repository, bytes, { chunkSize: 300_000, signal, ...options });
  const stored = () => headBlob(repository, digest, signal);
  /** uploads that were neither completed nor cancelled */
  const left = (): string[] => {
    const folder = path.join(directory, 'docker/registry/v2/repositories/some/app/_uploads');
    if (!fs.existsSync(folder)) return [];
    const names = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names.filter(name => path.basename(name) === 'data');
  };
  return { proxy, repository, upload, stored, left, signal };
};

const linesOf = (asked: readonly { method: string }[]): string =>
  asked.map(({ method }) => method).join(' ');

t.test('in chunks, or in one request', { skip }, async t => {
  const { proxy, upload, stored, left, repository, signal } = await opened(t);
  t.equal(await stored(), undefined);
  proxy.asked = [];
  t.strictSame(await upload({ digest, size }), { digest, size });
  t.equal(linesOf(proxy.asked), 'POST PATCH PATCH PATCH PATCH PUT');
  t.strictSame(
    proxy.asked.flatMap(({ headers }) => headers['content-range'] ?? []),
    ['0-299999', '300000-599999', '600000-899999', '900000-999999'],
  );
  t.equal(await stored(), size);
  proxy.asked = [];
  const small = Buffer.from('small');
  t.strictSame(await upload({}, pieces(small, 1)), { digest: digestOf(small), size: 5 });
  const empty = await upload({}, pieces(Buffer.alloc(0)));
  t.strictSame(empty, { digest: digestOf(Buffer.alloc(0)), size: 0 });
  t.equal(linesOf(proxy.asked), 'POST PUT POST PUT');
  t.equal(await headBlob(repository, digestOf(small), signal), 5);
  t.strictSame(left(), []);
});

t.test('what differs from what is due is not stored', { skip }, async t => {
  const { upload, stored, left } = await opened(t);
  const other = `sha256:${'0'.repeat(64)}`;
  await t.rejects(upload({ digest: other }), { code: 'MISMATCH', message: /expected sha256:000/ });
  await t.rejects(upload({ size: size + 1 }), { code: 'MISMATCH', message: /1000000 bytes/ });
  const failing = async function* (): AsyncGenerator<Buffer> {
    yield* pieces();
    throw new Error('the source broke');
  };
  await t.rejects(upload({ digest }, failing()), { message: 'the source broke' });
  const stop = new AbortController();
  const stopping = async function* (): AsyncGenerator<Buffer> {
    yield* pieces();
    stop.abort();
    yield* pieces();
  };
  await t.rejects(upload({ signal: stop.signal }, stopping()), { name: 'AbortError' });
  t.equal(await stored(), undefined);
  t.strictSame(left(), [], 'nor is anything left of it');
});

t.test('requests that fail before the registry sees them', { skip }, async t => {
  const { proxy, upload, stored, left } = await opened(t);
  for (const [method, fault] of [
    ['POST', { status: 503 }],
    ['PATCH', { status: 500 }],
    ['PATCH', { status: 429, headers: { 'retry-after': '0' } }],
    ['PUT', { status: 502 }],
    ['PUT', { loseAnswer: true }],
  ] as const) {
    const what = `${method} ${JSON.stringify(fault)}`;
    proxy.plan = firstOf(method, /uploads/, fault);
    t.strictSame(await upload({ digest, size }), { digest, size }, what);
    t.equal(await stored(), size, what);
  }
  t.strictSame(left(), []);
});

t.test('a lost answer: the registry says how far it is', { skip }, async t => {
  const { proxy, upload, stored } = await opened(t);
  proxy.plan = firstOf('PATCH', /uploads/, {}, { cutRequest: 0 });
  t.strictSame(await upload({ digest, size }), { digest, size });
  t.match(linesOf(proxy.asked), 'PATCH GET PATCH');
  t.equal(await stored(), size);
});

t.test('a first chunk that broke off is sent again from what is held', { skip }, async t => {
  const { proxy, upload, stored } = await opened(
    t,
    firstOf('PATCH', /uploads/, { cutRequest: 70_000 }),
  );
  t.strictSame(await upload({ digest, size }), { digest, size });
  t.equal(await stored(), size);
  t.ok(proxy.asked.filter(({ method }) => method === 'POST').length >= 1);
});

t.test('a later one begins anew where the bytes can be had again', { skip }, async t => {
  const { proxy, upload, stored } = await opened(t);
  proxy.plan = firstOf('PATCH', /uploads/, {}, { cutRequest: 70_000 });
  t.strictSame(await upload({ digest, size, again: () => pieces() }), { digest, size });
  t.equal(await stored(), size);
});

t.test('and fails where they cannot, in one sentence', { skip }, async t => {
  const { proxy, upload, stored } = await opened(t);
  proxy.plan = firstOf('PATCH', /uploads/, {}, { loseAnswer: true });
  await upload({ digest, size }).then(
    async () => t.equal(await stored(), size, 'or the registry could go on'),
    (error: unknown) =>
      t.match(error, {
        code: 'BACKEND',
        message: 'the upload broke off at byte 300000, and the registry cannot continue it',
        at: { repository: 'some/app', blob: digest },
      }),
  );
  proxy.plan = request =>
    request.method === 'PATCH'
      ? { status: 403, body: '{"errors":[{"code":"DENIED"}]}' }
      : undefined;
  await t.rejects(upload({ digest, size }), {
    message: 'the registry answered 403 Forbidden: DENIED',
    at: { status: 403 },
  });
});
