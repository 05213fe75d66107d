import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import t from 'tap';

const MODULE = new URL('../../bin/signals.js', import.meta.url).href;

/** Runs a program that is sent the signal once it says so. */
const stopped = async (
  signal: NodeJS.Signals,
  body: string,
): Promise<{ code: number | null; said: string }> => {
  const script = `import { onStop, stopAtOnce } from '${MODULE}'; ${body}
    console.log('ready'); setTimeout(() => {}, 60_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = text(child.stderr);
  await once(child.stdout, 'data');
  child.kill(signal);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said: await said };
};

t.test('the first handler ends the program with a line', async t => {
  for (const [signal, code] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const due = { code, said: `Error: stopped by ${signal}\n` };
    t.same(await stopped(signal, 'onStop(stopAtOnce);'), due);
  }
});

t.test('a later handler takes the place of an earlier one', async t => {
  const body = 'onStop(stopAtOnce); onStop((reason, status) => process.exit(status - 100));';
  t.same(await stopped('SIGTERM', body), { code: 43, said: '' });
});
