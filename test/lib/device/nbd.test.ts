import fc from 'fast-check';
import t from 'tap';
import { RafsError } from '../../../lib/errors.js';
import {
  dataChunk,
  errorChunk,
  exportFacts,
  exportInfos,
  optionReply,
  requestedName,
  serverName,
  simpleReply,
} from '../../../lib/device/nbd.js';

const cookie = Buffer.from('0011223344556677', 'hex');
const hex = (bytes: Buffer): string => bytes.toString('hex');

t.test('replies say how long they are', async t => {
  t.equal(
    hex(optionReply(3, 2, serverName('ab'))),
    '0003e889045565a900000003000000020000000600000002' + '6162',
  );
  t.equal(hex(optionReply(3, 1)), '0003e889045565a9000000030000000100000000');
  t.equal(
    hex(dataChunk(cookie, 0x200, 0x1000, true)),
    '668e33ef00010001001122334455667700001008' + '0000000000000200',
  );
  t.equal(hex(dataChunk(cookie, 0, 1, false)).slice(8, 12), '0000', 'more follows');
  t.equal(
    hex(errorChunk(cookie, 5, 'no')),
    '668e33ef000180010011223344556677' + '00000008' + '000000050002' + '6e6f',
  );
  t.equal(errorChunk(cookie, 5, 'x'.repeat(9999)).length, 20 + 6 + 4096, 'a text that is too long');
  t.equal(hex(simpleReply(cookie, 0)), '67446698000000000011223344556677');
});

t.test('the export is read only and may be read from several connections', async t => {
  t.equal(hex(exportInfos(0x1_0000_0000, 512)[0]!), '0000' + '0000000100000000' + '0103');
  t.equal(hex(exportInfos(0, 512)[1]!), '0003' + '00000001' + '00000200' + '02000000');
  t.equal(hex(exportFacts(512, false)), '0000000000000200' + '0103');
  const padded = exportFacts(512, true);
  t.equal(padded.length, 10 + 124);
  t.ok(padded.subarray(10).every(byte => byte === 0));
});

t.test('a name is asked for with kinds of information behind it', async t => {
  const request = (name: Buffer, kinds: number[]): Buffer => {
    const bytes = Buffer.alloc(4 + name.length + 2 + 2 * kinds.length);
    bytes.writeUInt32BE(name.length, 0);
    name.copy(bytes, 4);
    bytes.writeUInt16BE(kinds.length, 4 + name.length);
    kinds.forEach((kind, i) => bytes.writeUInt16BE(kind, 6 + name.length + 2 * i));
    return bytes;
  };
  t.equal(requestedName(request(Buffer.alloc(0), [])), '');
  t.equal(requestedName(request(Buffer.from('naïve'), [0, 3])), 'naïve');
  const good = request(Buffer.from('name'), [3]);
  for (let size = 0; size < good.length; size++) {
    t.throws(() => requestedName(good.subarray(0, size)), { code: 'CORRUPT' }, `${size} bytes`);
  }
  t.throws(() => requestedName(Buffer.concat([good, Buffer.alloc(1)])), { code: 'CORRUPT' });
  t.throws(() => requestedName(Buffer.from('ffffffff0000', 'hex')), { code: 'CORRUPT' });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), data => {
      try {
        t.type(requestedName(Buffer.from(data)), 'string');
      } catch (error) {
        t.ok(error instanceof RafsError);
      }
    }),
  );
});
