import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { paint } from '../../../bin/console/color.js';
import { createLog, LOG_LEVELS, type LogLevel, type LogOptions } from '../../../bin/console/log.js';

const TIME = /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} [+-]\d\d:\d\d\] /;

const record = (options: Partial<LogOptions> = {}, isTTY = false) => {
  const lines: string[] = [];
  const stream = { isTTY, write: (text: string) => lines.push(text) };
  const log = createLog({ level: 'info', env: {}, stream, ...options });
  return { log, lines };
};

const wordsAt = (level: LogLevel, env: LogOptions['env'] = {}): string[] => {
  const { log, lines } = record({ level, env: env ?? {} });
  for (const name of LOG_LEVELS) log[name](`m-${name}`);
  return lines.map(line => line.replace(TIME, '').trimEnd());
};

const ALL = ['TRACE m-trace', 'DEBUG m-debug', 'INFO m-info', 'WARN m-warn', 'ERROR m-error'];

t.test('a level lets through itself and what is above', async t => {
  LOG_LEVELS.forEach((level, i) => t.strictSame(wordsAt(level), ALL.slice(i), level));
});

t.test('RUST_LOG can only take away', async t => {
  const rust = (filter: string, level: LogLevel = 'info') => wordsAt(level, { RUST_LOG: filter });
  t.strictSame(rust('error'), ALL.slice(4));
  t.strictSame(rust('WARN'), ALL.slice(3));
  t.strictSame(rust('trace'), ALL.slice(2));
  t.strictSame(rust('off'), []);
  t.strictSame(rust('some::module=error'), ALL.slice(2));
  t.strictSame(rust('some::module=debug,error'), ALL.slice(4));
  t.strictSame(rust(''), ALL.slice(2));
  t.strictSame(rust('debug', 'trace'), ALL.slice(1));
});

t.test('the time has microseconds and the zone', async t => {
  const { log, lines } = record({ now: () => Date.UTC(2026, 0, 31, 2, 12, 19) + 325.6456 });
  log.info('successfully built: \nmeta blob path: x');
  t.match(lines[0], TIME);
  const [, date, time, sign, h, m] =
    /^\[(\S+) (\S+) ([+-])(\d\d):(\d\d)\] INFO successfully built: \nmeta blob path: x\n$/.exec(
      lines[0]!,
    )!;
  // the written time, less its offset, is the moment
  t.equal(
    Date.parse(`${date}T${time!.slice(0, 12)}${sign}${h}:${m}`),
    Date.UTC(2026, 0, 31, 2, 12, 19, 325),
  );
  t.match(time, /\.325645$/);
});

t.test('zones on both sides of Greenwich', async t => {
  for (const [zone, expected] of [
    ['Asia/Kolkata', '2026-01-31 07:42:19.325645 +05:30'],
    ['America/St_Johns', '2026-01-30 22:42:19.325645 -03:30'],
    ['UTC', '2026-01-31 02:12:19.325645 +00:00'],
  ] as const) {
    const script = `import { createLog } from ${JSON.stringify(new URL('../../../bin/console/log.js', import.meta.url).href)};
      const stream = { write: text => process.stdout.write(text) };
      createLog({ level: 'info', stream, now: () => Date.UTC(2026, 0, 31, 2, 12, 19) + 325.6456 }).info('x');`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, TZ: zone },
      encoding: 'utf8',
    });
    t.equal(out, `[${expected}] INFO x\n`);
  }
});

t.test('colour on a terminal only, and not for INFO', async t => {
  const line = (level: LogLevel, isTTY: boolean, env: LogOptions['env'] = {}) => {
    const { log, lines } = record({ level: 'trace', env: env ?? {}, now: () => 0 }, isTTY);
    log[level]('x');
    return lines[0]!.slice(0, -1);
  };
  for (const level of LOG_LEVELS) {
    t.match(line(level, false), /^\[1/, level);
    t.match(line(level, true, { NO_COLOR: '1' }), /^\[1/, level);
  }
  t.equal(line('info', true), line('info', false));
  t.equal(line('warn', true), paint('yellow', line('warn', false)));
  t.equal(line('error', true), paint('red', line('error', false)));
});

t.test('names in messages cannot command a terminal', async t => {
  const { log, lines } = record();
  log.info('a\x1b[2Jb\rc\x07\x9b\td');
  t.equal(lines[0]!.replace(TIME, ''), 'INFO a\\u001b[2Jb\\rc\\u0007\\u009b\td\n');
});

t.test('what is called before a record', async t => {
  const { log, lines } = record();
  log.beforeRecord = () => lines.push('cleared');
  log.debug('not written');
  log.info('x');
  t.equal(lines.length, 2);
  t.equal(lines[0], 'cleared');
});

t.test('a stream that fails does not fail the caller', async t => {
  const stream = {
    write() {
      throw new Error('EPIPE');
    },
  };
  t.doesNotThrow(() => createLog({ level: 'info', env: {}, stream }).error('x'));
});

t.test('a log file is appended to, plain, and has an extension', async t => {
  const dir = t.testdir({ 'foo.txt': 'before\n' });
  for (const [name, file] of [
    ['bar', 'bar.log'],
    ['foo.txt', 'foo.txt'],
    ['.x', '.x.log'],
  ] as const) {
    const log = createLog({ level: 'info', file: join(dir, name), env: {} });
    log.warn('one');
    log.close();
    const again = createLog({ level: 'info', file: join(dir, name), env: {} });
    again.warn('two');
    again.close();
    const lines = readFileSync(join(dir, file), 'utf8').trimEnd().split('\n');
    t.strictSame(
      lines.slice(-2).map(line => line.replace(TIME, '')),
      ['WARN one', 'WARN two'],
    );
    t.equal(lines[0] === 'before', name === 'foo.txt');
  }
  t.throws(() => createLog({ level: 'info', file: join(dir, 'no', 'x.log') }), { code: 'ENOENT' });
});

t.test('stderr: written at once, and a reader that is gone is no failure', async t => {
  const script = `import { createLog } from ${JSON.stringify(new URL('../../../bin/console/log.js', import.meta.url).href)};
    const log = createLog({ level: 'info' });
    process.stdin.once('data', () => {
      for (let i = 0; i < 2000; i++) log.error('x'.repeat(1000));
      process.exit(7);
    });`;
  const argv = ['--input-type=module', '-e', script];
  const env = { ...process.env, RUST_LOG: '' };

  const read = spawn(process.execPath, argv, { env, stdio: ['pipe', 'ignore', 'pipe'] });
  let bytes = 0;
  read.stderr.on('data', (data: Buffer) => (bytes += data.length));
  read.stdin.write('go');
  t.strictSame(await once(read, 'close'), [7, null]);
  t.equal(bytes, 2000 * ('[2026-01-31 02:12:19.325645 +00:00] ERROR '.length + 1001));

  const left = spawn(process.execPath, argv, { env, stdio: ['pipe', 'ignore', 'pipe'] });
  left.stderr.destroy();
  left.stdin.write('go');
  t.strictSame(await once(left, 'close'), [7, null]);
});
