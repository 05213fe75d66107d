import { execFileSync } from 'node:child_process';
import t from 'tap';
import { startProgress, type ProgressOptions } from '../../../bin/console/progress.js';

/** Progress whose output is kept; `written` resolves when there is more. */
const kept = (options: Partial<ProgressOptions> & Pick<ProgressOptions, 'mode'>) => {
  const texts: string[] = [];
  let wake = (): void => {};
  const progress = startProgress({
    ...{ title: 'create', isTty: true, columns: 200, ...options },
    write(text) {
      texts.push(text);
      wake();
    },
  });
  const written = (enough: (text: string) => boolean): Promise<string> =>
    new Promise(resolve => {
      // the timer under test does not keep the process alive
      const alive = setInterval(() => {}, 1000);
      wake = () => {
        const last = texts.at(-1)!;
        if (!enough(last)) return;
        clearInterval(alive);
        resolve(last);
      };
    });
  return { progress, texts, written };
};

const COUNTERS = { bytesIn: 3 * 2 ** 20, bytesOut: 1024, files: 7 };

t.test('json: a line as it goes, and one at the end', async t => {
  for (const isTty of [true, false]) {
    const { progress, texts, written } = kept({ mode: 'json', isTty });
    progress.update(COUNTERS);
    const line = await written(text => text.includes('"event":"progress"'));
    const record = JSON.parse(line) as Record<string, unknown>;
    t.match(record, { event: 'progress', bytes_in: 3145728, bytes_out: 1024, files: 7 });
    t.ok(Number.isInteger(record.elapsed_ms));
    progress.update({ ...COUNTERS, files: 8 });
    progress.hide();
    progress.done();
    progress.done();
    progress.failed();
    t.match(JSON.parse(texts.at(-1)!), { event: 'done', files: 8 });
    t.equal(texts.filter(text => !text.includes('"progress"')).length, 1);
    t.ok(texts.every(text => text.indexOf('\n') === text.length - 1));
    t.strictSame(Object.keys(record), ['event', 'bytes_in', 'bytes_out', 'files', 'elapsed_ms']);
  }
});

t.test('json: a failure, and counters that were never given', async t => {
  const { progress, texts } = kept({ mode: 'json' });
  progress.failed();
  t.equal(texts.length, 1);
  t.match(JSON.parse(texts[0]!), { event: 'failed', bytes_in: 0, bytes_out: 0, files: 0 });
});

t.test('update only keeps: the object may go on changing', async t => {
  const { progress, texts } = kept({ mode: 'json' });
  const counters = { bytesIn: 0, bytesOut: 0, files: 0 };
  progress.update(counters);
  counters.bytesIn = 5;
  t.equal(texts.length, 0);
  progress.done();
  t.match(JSON.parse(texts[0]!), { bytes_in: 5 });
});

t.test('nothing where nothing is wanted', async t => {
  for (const options of [{ mode: 'none' }, { mode: 'auto', isTty: false }] as const) {
    const { progress, texts } = kept(options);
    progress.update(COUNTERS);
    progress.hide();
    progress.done();
    progress.failed();
    t.strictSame(texts, []);
  }
});

t.test('bar: with a known total it has a bar, a share and the time left', async t => {
  for (const mode of ['auto', 'bar'] as const) {
    const { progress, texts, written } = kept({ mode, totalIn: 12 * 2 ** 20 });
    progress.update(COUNTERS);
    const line = await written(text => text.includes('%'));
    t.match(
      line,
      /^\r\x1b\[Kcreate \[={6}-{18}\] 25% 3\.0 MiB in, 1\.0 KiB out, 7 files, [\d.]+ \w+\/s, \d+:\d\d left$/, // eslint-disable-line no-control-regex
    );
    progress.update({ ...COUNTERS, bytesIn: 20 * 2 ** 20, files: 1 }); // more than was promised
    progress.done();
    t.match(texts.at(-2), /\[={24}\] 100% 20\.0 MiB in, 1\.0 KiB out, 1 file, .* 0:00 left$/);
    t.equal(texts.at(-1), '\n');
  }
});

t.test('bar: without a total; hidden and drawn again; failed', async t => {
  const { progress, texts, written } = kept({ mode: 'bar', isTty: false, columns: 40 });
  progress.hide();
  t.strictSame(texts, []);
  progress.update(COUNTERS);
  const line = await written(text => text.includes('MiB'));
  t.match(line, /^\r\x1b\[Kcreate 3\.0 MiB in, 1\.0 KiB out/); // eslint-disable-line no-control-regex
  t.ok(line.length <= 3 + 1 + 39, 'fits its line');
  progress.hide();
  t.equal(texts.at(-1), '\r\x1b[K');
  progress.failed();
  t.equal(texts.at(-1), ' failed\n');
  const { length } = texts;
  progress.hide();
  t.equal(texts.length, length);
});

t.test('progress that is not ended does not keep the process alive', async t => {
  for (const mode of ['json', 'bar']) {
    const script = `import { startProgress } from ${JSON.stringify(new URL('../../../bin/console/progress.js', import.meta.url).href)};
      startProgress({ mode: '${mode}', title: 'x', isTty: true }); console.log('left');`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    t.equal(out, 'left\n');
  }
});
