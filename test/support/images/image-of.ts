/** Images that the program has made, and their blobs. */
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { succeed } from '../process/cli.js';
import { temporaryDirectory } from '../process/fs.js';
import { layerTar } from '../tar/layers.js';

/** An image in a directory, with its blobs in another; and what they are. */
export const imageOf = async (t: Test, argv: readonly string[], tar = layerTar('kinds')) => {
  const directory = temporaryDirectory(t);
  const at = (name: string): string => path.join(directory, name);
  fs.writeFileSync(at('tar'), tar);
  fs.mkdirSync(at('blobs'));
  await succeed(t, [
    'create',
    ...argv,
    '-B',
    at('boot'),
    '-D',
    at('blobs'),
    at('tar'),
    '-l',
    'warn',
  ]);
  const blobs = Object.fromEntries(
    fs.readdirSync(at('blobs')).map(name => [name, fs.readFileSync(at(`blobs/${name}`))]),
  );
  return { at, blobs };
};
