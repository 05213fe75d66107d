import t from 'tap';
import { isObject, parseObject, toJson } from '../../../lib/oci/json.js';

t.test('documents are written as Go writes them', async t => {
  t.equal(
    toJson({ b: '<a&b>\u2028', a: 1 }).toString(),
    '{"b":"\\u003ca\\u0026b\\u003e\\u2028","a":1}',
  );
  t.equal(toJson({ a: [1] }, 2).toString(), '{\n  "a": [\n    1\n  ]\n}');
});

t.test('a document is an object, and its keys keep their order', async t => {
  const text = '{"z":1,"a":{"y":2,"b":3}}';
  t.equal(JSON.stringify(parseObject(Buffer.from(text), 'config')), text);
  for (const bad of ['', '[]', 'null', '5', '{', '"x"']) {
    t.throws(() => parseObject(Buffer.from(bad), 'manifest', { digest: 'd' }), {
      code: 'CORRUPT',
      at: { digest: 'd' },
      message: /^the manifest is not /,
    });
  }
  t.same([{}, [], null, 1, 'x'].map(isObject), [true, false, false, false, false]);
});
