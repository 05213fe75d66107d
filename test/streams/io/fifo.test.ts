import fs from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import path from 'node:path';
import t, { type Test } from 'tap';
import {
  adopt,
  isFifo,
  openFifoForWriting,
  releaseFifo,
  releaseSourceFifo,
} from '../../../streams/io/fifo.js';
import { makeFifo, openBelow, shell, temporaryDirectory } from '../../support/process/fs.js';

const setUp = (t: Test) => {
  const directory = temporaryDirectory(t);
  const fifo = path.join(directory, 'fifo');
  makeFifo(fifo);
  return { directory, fifo };
};

/** The reading end as a stream. */
const openFifoForReading = (path: string) =>
  adopt(fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK), 'read');

t.test('tells a FIFO', async t => {
  const { directory, fifo } = setUp(t);
  fs.symlinkSync('fifo', path.join(directory, 'link'));
  fs.writeFileSync(path.join(directory, 'file'), '');
  t.ok(isFifo(fifo));
  t.ok(isFifo(path.join(directory, 'link')));
  t.notOk(isFifo(path.join(directory, 'file')));
  t.notOk(isFifo(path.join(directory, 'nothing')));
});

t.test('a late writer is waited for', async t => {
  const { directory, fifo } = setUp(t);
  const reader = openFifoForReading(fifo);
  const read = buffer(reader);
  await sleep(100);
  await shell('printf hello > "$1"', fifo);
  t.equal((await read).toString(), 'hello');
  t.same(openBelow(directory), []);
});

t.test('a late reader is waited for', async t => {
  const { directory, fifo } = setUp(t);
  const reader = shell('sleep 0.1; cat "$1"', fifo);
  const writer = await openFifoForWriting(fifo);
  writer.end('hello');
  t.equal((await reader).toString(), 'hello');
  t.same(openBelow(directory), []);
});

t.test('waiting for a reader ends with ENXIO, or with a signal', async t => {
  const { fifo } = setUp(t);
  await t.rejects(openFifoForWriting(fifo, { timeoutMs: 20 }), { code: 'ENXIO' });
  const stop = new AbortController();
  const opening = openFifoForWriting(fifo, { signal: stop.signal });
  stop.abort(new Error('stopped'));
  await t.rejects(opening, { message: 'stopped' });
  await t.rejects(openFifoForWriting(`${fifo}.none`), { code: 'ENOENT' });
});

t.test('releases a reader that waits for an output', async t => {
  const { fifo } = setUp(t);
  const reader = shell('cat "$1"', fifo);
  t.equal(await releaseFifo(fifo), true);
  t.equal((await reader).length, 0, 'it sees the end');
  t.equal(await releaseFifo(fifo, 20), false, 'nobody waits now');
});

t.test('releases a writer that waits for a source', async t => {
  const { directory, fifo } = setUp(t);
  // a first write may still go through; the trap lets the shell see its failure
  const writer = shell(
    'trap "" PIPE; exec 3> "$1"; sleep 0.1; printf x >&3 2>&- || echo told',
    fifo,
  );
  t.equal(await releaseSourceFifo(fifo), true);
  t.equal((await writer).toString(), 'told\n');
  t.equal(await releaseSourceFifo(fifo, 20), false, 'nobody waits now');
  t.same(openBelow(directory), []);
});

t.test('releases nothing that is not a FIFO', async t => {
  const { directory } = setUp(t);
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, 'kept');
  for (const target of [file, directory, path.join(directory, 'none')]) {
    t.equal(await releaseFifo(target), false);
    t.equal(await releaseSourceFifo(target), false);
  }
  t.equal(fs.readFileSync(file, 'utf8'), 'kept');
});

t.test('twenty FIFOs without writers leave file access alone', async t => {
  const directory = temporaryDirectory(t);
  const fifos = Array.from({ length: 20 }, (_, i) => path.join(directory, `fifo${i}`));
  makeFifo(...fifos);
  const reads = fifos.map(fifo => buffer(openFifoForReading(fifo)));
  t.ok((await fs.promises.stat(directory)).isDirectory(), 'a pool thread is free');
  await shell('for f; do echo "$f" > "$f"; done', ...fifos);
  const texts = (await Promise.all(reads)).map(bytes => bytes.toString());
  t.same(
    texts,
    fifos.map(fifo => `${fifo}\n`),
  );
  t.same(openBelow(directory), []);
});
