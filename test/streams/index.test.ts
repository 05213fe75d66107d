/** The face of the package: each function has an example, and each example runs. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import * as face from '../../streams/index.js';
import { layoutOf } from '../support/images/oci-layout.js';
import { gzipSync } from 'node:zlib';
import { openBelow, temporaryDirectory } from '../support/process/fs.js';
import { tarOf } from '../support/tar/tar.js';

// compiled, this file lies in dist/test/streams/
const root = fileURLToPath(new URL('../../..', import.meta.url));

interface Example {
  name: string;
  code: string;
}

/** Examples in the comments of what the index exports, by the name of what they are about. */
const examples = (): Example[] => {
  const index = fs.readFileSync(path.join(root, 'streams/index.ts'), 'utf8');
  const files = new Set(
    [...index.matchAll(/from '(\.[^']*)\.js'/g)].map(([, file]) => `${file}.ts`),
  );
  return [...files].flatMap(file => {
    const text = fs.readFileSync(path.join(root, 'streams', file), 'utf8');
    const found = text.matchAll(/\/\*\*((?:(?!\*\/).)*)\*\/\nexport (?:const|class) (\w+)/gs);
    return [...found].flatMap(([, comment = '', name = '']) => {
      const code = /@example\n \* ```js\n(.*?) \* ```/s.exec(comment)?.[1];
      return code === undefined ? [] : [{ name, code: code.replace(/^ \* ?/gm, '') }];
    });
  });
};

/** Where examples run: with a layer, one above it, an image of it, and the package. */
const folder = (t: Test): string => {
  const directory = temporaryDirectory(t);
  const layer = tarOf([
    { name: 'etc/', type: '5' },
    { name: 'etc/motd', content: 'hello\n' },
    { name: 'etc/again', content: 'hello\n' },
    { name: 'big', content: Buffer.alloc(0x30000, 'ab') },
  ]);
  fs.writeFileSync(path.join(directory, 'layer.tar.gz'), gzipSync(layer));
  const upper = tarOf([{ name: 'upper', content: 'above\n' }]);
  fs.writeFileSync(path.join(directory, 'upper.tar'), upper);
  layoutOf(path.join(directory, 'image'), { layers: [{ tar: layer }, { tar: upper }] });
  fs.mkdirSync(path.join(directory, 'node_modules'));
  fs.symlinkSync(root, path.join(directory, 'node_modules/rafs-stream'));
  fs.writeFileSync(path.join(directory, 'package.json'), '{"type":"module"}');
  return directory;
};

/** What examples print; others print ids. */
const PRINTED: Readonly<Record<string, string | RegExp>> = {
  createImage: '1\n',
  rafs: '1 4\n',
  tarfs: '64\n',
  zran: '1\n',
  checkImage: '2 1\n',
  mergeImages: '2\n',
  unpackImage: '4\n',
  imageTar: '4\n',
  exportImage: /^\d+ 64\n$/,
  imageDisk: '64\n',
  compactImage: '1\n',
  optimizeImage: '1\n',
  openImage:
    /^directory {2}\d+\n[^]*file etc\/motd 6\n[^]*\[ 'etc\/again', 'etc\/motd' \]\nhello\n\n$/,
  reportImages: '3\n',
  compareImages: /^\d+ 0\n$/,
  openImageSource: '2\n',
  openImageTarget: 'true\n',
};

t.test('every function has an example', async t => {
  const have = new Set(examples().map(({ name }) => name));
  for (const [name, value] of Object.entries(face)) {
    if (typeof value === 'function' && /^[a-z]/.test(name)) t.ok(have.has(name), name);
  }
});

t.test('every example runs, and leaves nothing half-written', async t => {
  const directory = folder(t);
  for (const { name, code } of examples()) {
    const file = path.join(directory, 'example.js');
    fs.writeFileSync(file, code);
    const { stdout, stderr, status } = spawnSync(process.execPath, [file], {
      cwd: directory,
      encoding: 'utf8',
    });
    t.equal(stderr, '', name);
    t.equal(status, 0, name);
    const due = PRINTED[name] ?? /^sha256:[0-9a-f]{64}\n$/;
    if (typeof due === 'string') t.equal(stdout, due, name);
    else t.match(stdout, due, name);
  }
  t.same(openBelow(directory), []);
});
