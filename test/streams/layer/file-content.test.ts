import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { Entry } from '../../../lib/model/entry.js';
import { largeContent, SmallFiles } from '../../../streams/layer/file-content.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { entryOf } from '../../support/images/entries.js';

const objectsOf = (directory: string, files: Record<string, Buffer>) =>
  Object.entries(files).map(([name, content]) => {
    const file = path.join(directory, name);
    fs.writeFileSync(file, content);
    return { entry: entryOf('file', name, { size: content.length }), path: Buffer.from(file) };
  });

const read = async (t: Test, objects: { entry: Entry; path: Buffer }[], readAhead?: boolean) => {
  const files = new SmallFiles(objects.values(), readAhead);
  const got: [string, Buffer | undefined][] = [];
  try {
    for (let next = files.next(); next; next = files.next()) {
      got.push([next.object.entry.path, await next.content]);
    }
  } finally {
    await files.close();
  }
  return got;
};

const collect = async (file: string, size: number): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  const entry = entryOf('file', 'x', { size });
  for await (const piece of largeContent(Buffer.from(file), entry)) pieces.push(piece);
  return Buffer.concat(pieces);
};

t.test('small files come whole and in order, read ahead or not', async t => {
  const directory = temporaryDirectory(t);
  const contents = Object.fromEntries(
    Array.from({ length: 400 }, (_, i) => [`f${i}`, randomBytes((i * 977) % 20_000)]),
  );
  const objects = objectsOf(directory, contents);
  for (const readAhead of [true, false, undefined]) {
    const got = await read(t, objects, readAhead);
    t.same(
      got.map(([name]) => name),
      Object.keys(contents),
    );
    t.ok(
      got.every(([name, content]) =>
        contents[name]!.length === 0 ? content === undefined : content?.equals(contents[name]!),
      ),
    );
    t.same(openBelow(directory), []);
  }
});

t.test('looks only as far ahead as it says', async t => {
  const directory = temporaryDirectory(t);
  const objects = objectsOf(
    directory,
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, Buffer.alloc(9)])),
  );
  for (const [readAhead, limit] of [
    [true, 9],
    [false, 1],
  ] as const) {
    let taken = 0;
    let most = 0;
    const counted = (function* () {
      for (const object of objects) {
        taken++;
        yield object;
      }
    })();
    const files = new SmallFiles(counted, readAhead);
    for (let next = files.next(), seen = 0; next; next = files.next(), seen++) {
      most = Math.max(most, taken - seen);
      await next.content;
    }
    t.equal(most, limit);
    t.equal(taken, 40);
  }
});

t.test('large files and other objects are left to the caller', async t => {
  const directory = temporaryDirectory(t);
  const objects = objectsOf(directory, {
    large: Buffer.alloc(0x20001),
    small: Buffer.alloc(0x20000),
  });
  const link = { entry: entryOf('symlink', 'l', { target: 'x' }), path: Buffer.from('/none') };
  const got = await read(t, [link, ...objects]);
  t.same(
    got.map(([name, content]) => [name, content?.length]),
    [
      ['l', undefined],
      ['large', undefined],
      ['small', 0x20000],
    ],
  );
});

t.test('a large file comes in pieces, as many bytes as were seen', async t => {
  const file = path.join(temporaryDirectory(t), 'file');
  const content = randomBytes(3_000_000);
  fs.writeFileSync(file, content);
  t.ok((await collect(file, content.length)).equals(content));
  t.ok((await collect(file, 1_234_567)).equals(content.subarray(0, 1_234_567)), 'it grew');
  await t.rejects(collect(file, content.length + 1), {
    name: 'RafsError',
    code: 'MISMATCH',
    message: /^expected 3000001 bytes, got 3000000/,
    at: { path: 'x' },
  });
  for await (const _ of largeContent(Buffer.from(file), entryOf('file', 'x', { size: 9e5 }))) break;
  t.same(openBelow(file), []);
});

t.test('failures have a code and the path, read ahead or not', async t => {
  const directory = temporaryDirectory(t);
  for (const readAhead of [true, false]) {
    const bad = async (
      spoil: (file: string) => void,
      due: { code: string | RegExp },
    ): Promise<void> => {
      const objects = objectsOf(directory, {
        a: randomBytes(100),
        b: randomBytes(100),
        c: randomBytes(100),
      });
      spoil(path.join(directory, 'b'));
      await t.rejects(read(t, objects, readAhead), { ...due, at: { path: 'b' } });
      t.same(openBelow(directory), []);
      fs.unlinkSync(path.join(directory, 'b'));
    };
    await bad(file => fs.truncateSync(file, 99), { code: 'MISMATCH' });
    await bad(
      file => {
        fs.unlinkSync(file);
        fs.symlinkSync('a', file);
      },
      { code: 'ELOOP' },
    );
    await bad(
      file => {
        fs.unlinkSync(file);
        execFileSync('mkfifo', [file]); // without O_NONBLOCK this would wait for ever
      },
      { code: /^(MISMATCH|ESPIPE)$/ },
    );
    await bad(
      file => {
        fs.unlinkSync(file);
        fs.mkdirSync(file);
        fs.rmdirSync(file);
        fs.symlinkSync('none', file);
      },
      { code: 'ELOOP' },
    );
  }
  const objects = objectsOf(directory, { a: Buffer.alloc(5) });
  fs.unlinkSync(path.join(directory, 'a'));
  await t.rejects(read(t, objects), { code: 'ENOENT', at: { path: 'a' } });
});

t.test('what is read ahead and not wanted is waited for', async t => {
  const directory = temporaryDirectory(t);
  const objects = objectsOf(
    directory,
    Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, randomBytes(9999)])),
  );
  fs.unlinkSync(objects[3]!.path);
  const files = new SmallFiles(objects.values(), true);
  files.next();
  await files.close();
  t.same(openBelow(directory), []);
});
