import t from 'tap';
import { pageWith } from '../../../streams/report/page.js';

t.test('the page is one file that asks for nothing', async t => {
  const page = await pageWith('PACKED$&');
  t.match(page, /<script type="text\/plain" id="data">\s*PACKED\$&\s*<\/script>/);
  t.notMatch(page, /%(DATA|STYLE|SCRIPT)%/);
  t.notMatch(page, /<(link|img|iframe)|\ssrc=|@import|url\(/);
  t.ok(Buffer.byteLength(page) < 100_000);
});
