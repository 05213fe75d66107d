import t from 'tap';
import { digest, prepareDigests } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import type { StoredChunk } from '../../../lib/model/stored.js';
import type { Entry } from '../../../lib/model/entry.js';
import type { ImagePart } from '../../../streams/read/blob-reader.js';
import { chunkVerifier } from '../../../streams/read/chunk-verifier.js';
import { failureOf, golden } from '../../support/images/golden.js';
import { collect } from '../../support/stream/stage.js';

await prepareDigests();

const bootstrap = parseBootstrap(golden('tar-rafs.kinds.zstd.v6'));
const entry = { path: 'a/b' } as Entry; // nothing else of it is looked at

const chunk = (bytes: Buffer, facts: Partial<StoredChunk> = {}): ImagePart => ({
  kind: 'chunk',
  bytes,
  chunk: {
    fileOffset: 0,
    uncompressedSize: bytes.length,
    digest: digest('blake3', bytes),
    blobIndex: 0,
    index: 4,
    compressedOffset: 77,
    compressedSize: bytes.length,
    uncompressedOffset: 0,
    compressed: false,
    encrypted: false,
    ...facts,
  },
});

const run = (...chunks: ImagePart[]): Promise<ImagePart[]> =>
  collect(chunkVerifier({ bootstrap }), [{ kind: 'entry', entry }, ...chunks, { kind: 'end' }]);

t.test('good chunks pass untouched', async t => {
  const parts = [chunk(Buffer.from('one')), chunk(Buffer.from('two'))];
  t.strictSame((await run(...parts)).slice(1, 3), parts);
});

t.test('a wrong chunk is named', async t => {
  const wrong = chunk(Buffer.from('one'), { digest: digest('blake3', Buffer.from('two')) });
  t.match(await failureOf(run(chunk(Buffer.from('x')), wrong)), {
    code: 'MISMATCH',
    message: /^expected blake3 [0-9a-f]{64}, got [0-9a-f]{64}$/,
    at: { path: '/a/b', blob: bootstrap.blobs[0]!.id, chunk: 4, offset: 77 },
  });
});

t.test('without a digest the checksum counts, if there is one', async t => {
  const none = Buffer.alloc(32);
  const bytes = Buffer.from('123456789');
  t.equal((await run(chunk(bytes, { digest: none }))).length, 3);
  t.equal((await run(chunk(bytes, { digest: none, crc32: 0xe3069283 }))).length, 3);
  const wrong = run(chunk(bytes, { digest: none, crc32: 1 }));
  t.match(await failureOf(wrong), { code: 'MISMATCH', message: /crc32/ });
});

t.test('digests are of the algorithm of the blob', async t => {
  const sha256 = parseBootstrap(golden('zran.kinds'));
  t.equal(sha256.blobs[0]!.digester, 1);
  const bytes = Buffer.from('abc');
  const parts = [chunk(bytes, { digest: digest('sha256', bytes) })];
  t.equal((await collect(chunkVerifier({ bootstrap: sha256 }), parts)).length, 1);
});
