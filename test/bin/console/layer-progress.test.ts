/** What people and programs see of an image in work. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { layerTable, startLayerProgress } from '../../../bin/console/layer-progress.js';

const layers = [
  {
    layer: { digest: `sha256:${'a'.repeat(64)}`, size: 2048 },
    counters: { bytesIn: 1024, bytesOut: 10 },
    state: 'running' as const,
    seconds: 0,
  },
  {
    layer: { digest: `sha256:${'b'.repeat(64)}`, size: 1024 },
    counters: { bytesIn: 0, bytesOut: 0 },
    state: 'reused' as const,
    seconds: 0.25,
    blob: { digest: `sha256:${'c'.repeat(64)}`, size: 512 },
  },
];

t.test('a terminal gets a bar for each layer in work, and one for the image', async t => {
  let text = '';
  const write = (more: string): void => void (text += more);
  const display = startLayerProgress({ mode: 'bar', layers, write, columns: 200, isTty: true });
  while (!text.includes('\n')) await sleep(20);
  t.match(
    text,
    /^aaaaaaaaaaaa \[={12}-{12}\] 1\.0 KiB of 2\.0 KiB\nimage {8}\[={16}-{8}\] 2\.0 KiB in/,
  );
  display.hide();
  t.match(text, /\x1b\[2A\r\x1b\[J$/, 'both lines are cleared'); // eslint-disable-line no-control-regex
  display.end(false);
  const before = text;
  await sleep(300);
  t.equal(text, before, 'nothing is drawn after the end');
});

t.test('programs get lines of JSON', async t => {
  let text = '';
  const write = (more: string): void => void (text += more);
  const display = startLayerProgress({ mode: 'json', layers, write });
  display.end(false);
  const lines = text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);
  t.match(lines[0]!, { event: 'layer', size: 2048, bytes_in: 1024 });
  t.match(lines[1]!, { event: 'done', size: 3072, bytes_in: 2048, layers: 2, layers_done: 1 });
});

t.test('nothing is shown where nobody looks', t => {
  const write = (): void => void t.fail('written');
  startLayerProgress({ mode: 'auto', layers, write, isTty: false }).end(true);
  startLayerProgress({ mode: 'none', layers, write, isTty: true }).end(true);
  t.end();
});

t.test('the table has a row for each layer', t => {
  const table = layerTable(layers)
    .split('\n')
    .map(line => line.split(/ {2,}/));
  t.same(table[0], ['layer', 'source', 'Nydus', 'time']);
  t.same(table[2], ['bbbbbbbbbbbb', '1.0 KiB', '512 B', 'reused']);
  t.end();
});
