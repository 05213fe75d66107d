import fc from 'fast-check';
import t from 'tap';
import * as nbd from '../../../lib/layout/nbd.js';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const cookie = Buffer.from('0011223344556677', 'hex');

// bytes as the protocol's document gives them
t.test('records lie as in the protocol', async t => {
  t.equal(hex(nbd.Greeting.encode({ flags: 3 })), '4e42444d4147494349484156454f50540003');
  t.equal(
    hex(nbd.OptionRequest.encode({ option: 7, length: 0x102 })),
    '49484156454f50540000000700000102',
  );
  t.equal(
    hex(nbd.OptionReply.encode({ option: 7, reply: nbd.OptionReplyType.ERR_UNSUP, length: 1 })),
    '0003e889045565a9000000078000000100000001',
  );
  t.equal(hex(nbd.InfoExport.encode({ size: 0x1000, flags: 3 })), '000000000000000010000003');
  t.equal(
    hex(nbd.InfoBlockSize.encode({ minimum: 1, preferred: 4096, maximum: 0x2000000 })),
    '0003000000010000100002000000',
  );
  t.equal(
    hex(
      nbd.Request.encode({
        flags: 1,
        command: 0,
        cookie,
        offsetHigh: 1,
        offsetLow: 0x200,
        length: 0x1000,
      }),
    ),
    '25609513000100000011223344556677000000010000020000001000',
  );
  t.equal(hex(nbd.SimpleReply.encode({ error: 22, cookie })), '67446698000000160011223344556677');
  t.equal(
    hex(nbd.ReplyChunk.encode({ flags: 1, type: nbd.ReplyType.ERROR, cookie, length: 6 })),
    '668e33ef00018001001122334455667700000006',
  );
  t.equal(hex(nbd.ErrorFacts.encode({ error: 5, textSize: 0 })), '000000050000');
  t.equal(hex(nbd.ExportFacts.encode({ size: 512, flags: 3 })), '00000000000002000003');
});

t.test('what is written is read, and another magic number is not', async t => {
  const u16 = fc.nat(0xffff);
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const fields = fc.record({
    flags: u16,
    command: u16,
    cookie: fc.uint8Array({ minLength: 8, maxLength: 8 }).map(array => Buffer.from(array)),
    offsetHigh: u32,
    offsetLow: u32,
    length: u32,
  });
  fc.assert(
    fc.property(fields, fc.nat(3), (request, at) => {
      const bytes = nbd.Request.encode(request);
      t.same(nbd.Request.decode(bytes), request);
      bytes[at]! ^= 1;
      t.throws(() => nbd.Request.decode(bytes), { code: 'CORRUPT' });
    }),
    { numRuns: 50 },
  );
});
