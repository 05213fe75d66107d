import t from 'tap';
import { TextBuffer } from '../../../bin/console/text-buffer.js';
import { recordedIo } from '../../support/process/command-io.js';

t.test('small pieces of text are gathered, and none is lost', async t => {
  const io = recordedIo();
  let writes = 0;
  const out = new TextBuffer({
    ...io,
    async stdout(text) {
      writes += 1;
      await io.stdout(text);
    },
  });
  await out.flush();
  t.equal(writes, 0, 'nothing to write');
  const line = 'a line of text\n';
  for (let i = 0; i < 20000; i++) await out.write(line);
  t.ok(writes > 0 && writes < 6, `${writes} writes`);
  await out.flush();
  t.equal(io.text, line.repeat(20000));
});
