/**
 * Cases of test/fixtures/golden/cases.json: a command line, and what nydus-image made of it.
 *
 * Texts of a case hold places: {in} is the folder of the layers, each as .tar and .tar.gz; {out} the
 * case's own folder; {case:ID} that of another case; {blob:ID} the only file there that is named by
 * 64 hex digits; {id:ID} the last blob id in its out.json; {sha:LAYER} the sha256 of a layer.
 */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Ran } from '../support/process/cli.js';
import { layerFiles, layerPath } from '../support/tar/layers.js';

/** What a case cannot be run without: this machine may lack it. */
export type Need = 'root' | 'tar' | 'xattr' | 'zstd';

/** Steps before the command; a path's folders are made. */
export type Step =
  | readonly ['copy', from: string, to: string]
  | readonly ['extract', tar: string, directory: string]
  | readonly ['garbage', file: string];

/** A file by its size and digest; JSON by its content. */
export type FileFacts = { size: number; sha256: string } | { json: Record<string, unknown> };

export interface Case {
  id: string;
  argv: readonly string[];
  stdin?: string;
  prepare?: readonly Step[];
  needs?: readonly Need[];
  /** what is wrong in nydus-image, where it must not be followed */
  reference?: string;
  /**
   * same: exit status 0, and stdout and files like those of nydus-image. succeeds: exit status 0.
   * fails: the exit status of nydus-image, something on stderr, no files.
   */
  expect: 'same' | 'succeeds' | 'fails';
  exit?: number;
  stdout?: string;
  files?: Readonly<Record<string, FileFacts>>;
}

export interface Outcome {
  exit: number | null;
  stdout: string;
  stderr: string;
  files: Record<string, FileFacts>;
}

export const readCases = (): Case[] =>
  JSON.parse(
    fs.readFileSync(
      fileURLToPath(new URL('../../../test/fixtures/golden/cases.json', import.meta.url)),
      'utf8',
    ),
  ) as Case[]; // our own file

/** Ids of the cases whose files a case needs. */
export const dependencies = ({ argv, prepare = [] }: Case): string[] => [
  ...new Set(
    [...JSON.stringify([argv, prepare]).matchAll(/\{(?:case|blob|id):([^}/]+)\}/g)].map(
      ([, id]) => id!,
    ),
  ),
];

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const BLOB_NAME = /^[0-9a-f]{64}$/;

/** A folder with the layers in it, where cases are run. */
export class GoldenBench {
  readonly layers: string;
  readonly cases: string;

  constructor(directory: string) {
    this.layers = path.join(directory, 'layers');
    this.cases = path.join(directory, 'cases');
    fs.mkdirSync(this.layers);
    for (const file of layerFiles()) {
      const bytes = fs.readFileSync(layerPath(file));
      fs.writeFileSync(path.join(this.layers, file), bytes);
      if (file.endsWith('.tar.gz') && !file.startsWith('gz-')) {
        fs.writeFileSync(path.join(this.layers, file.slice(0, -3)), gunzipSync(bytes));
      }
    }
  }

  /** The folder of a case. */
  folder(id: string): string {
    return path.join(this.cases, id);
  }

  /** The places in a text of a case, filled in. */
  fill(text: string, id: string): string {
    return text
      .replace(/\{blob:([^}]+)\}/g, (_, other: string) => this.#blob(other))
      .replace(/\{id:([^}]+)\}/g, (_, other: string) => this.#blobId(other))
      .replace(/\{sha:([^}]+)\}/g, (_, file: string) =>
        sha256(fs.readFileSync(path.join(this.layers, file))),
      )
      .replace(/\{case:([^}]+)\}/g, (_, other: string) => this.folder(other))
      .replaceAll('{in}', this.layers)
      .replaceAll('{out}', this.folder(id));
  }

  /** Does the steps before the command; the arguments that it is to be run with. */
  prepare({ id, argv, prepare = [] }: Case): string[] {
    fs.mkdirSync(this.folder(id), { recursive: true });
    for (const [what, ...places] of prepare) {
      const [first = '', second = ''] = places.map(place => this.fill(place, id));
      if (what === 'copy') {
        fs.mkdirSync(path.dirname(second), { recursive: true });
        fs.copyFileSync(first, second);
      } else if (what === 'extract') {
        extract(first, second);
      } else {
        fs.writeFileSync(
          first,
          Buffer.alloc(
            256 * 64,
            Uint8Array.from({ length: 256 }, (_, i) => i),
          ),
        );
      }
    }
    return argv.map(argument => this.fill(argument, id));
  }

  /** What a run has left, with places instead of paths. */
  outcome({ id, prepare = [] }: Case, { exit, stdout, stderr }: Ran): Outcome {
    const given = new Set(
      prepare.map(([what, ...at]) => this.fill(at[what === 'copy' ? 1 : 0]!, id)),
    );
    const files: Record<string, FileFacts> = {};
    for (const name of fs.readdirSync(this.folder(id)).sort()) {
      const file = path.join(this.folder(id), name);
      if (fs.statSync(file).isFile() && !given.has(file)) files[name] = this.#facts(file, id);
    }
    return { exit, stdout: this.#clean(stdout.toString(), id), stderr, files };
  }

  #facts(file: string, id: string): FileFacts {
    const bytes = fs.readFileSync(file);
    if (!file.endsWith('.json')) return { size: bytes.length, sha256: sha256(bytes) };
    const text = bytes
      .toString()
      .replaceAll(this.folder(id), '{out}')
      .replaceAll(this.cases, '{work}');
    // how long it took, and who did it, are not what was made
    const { trace, version, ...json } = JSON.parse(text) as Record<string, unknown>;
    return { json };
  }

  /** Without colours and times, with places. */
  #clean(text: string, id: string): string {
    return text
      .replace(/\x1b\[[0-9;]*m/g, '') // eslint-disable-line no-control-regex
      .replace(/\[\d{4}-\d\d-\d\d [^\]]*\] /g, '')
      .replaceAll(this.folder(id), '{out}')
      .replaceAll(this.cases, '{work}')
      .replaceAll(this.layers, '{in}');
  }

  #blob(id: string): string {
    const names = fs.readdirSync(this.folder(id)).filter(name => BLOB_NAME.test(name));
    if (names.length !== 1) throw new Error(`${id} has ${names.length} blobs`);
    return path.join(this.folder(id), names[0]!);
  }

  #blobId(id: string): string {
    const text = fs.readFileSync(path.join(this.folder(id), 'out.json'), 'utf8');
    const { blobs } = JSON.parse(text) as { blobs: string[] };
    return blobs.at(-1)!;
  }
}

/** Extracts a tar with owners and attributes; folders get one time, whatever was put into them. */
const extract = (tar: string, directory: string): void => {
  fs.mkdirSync(directory, { recursive: true });
  const options = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];
  execFileSync('tar', [...options, '-xpf', tar, '-C', directory]);
  const inside = fs
    .readdirSync(Buffer.from(directory), {
      withFileTypes: true,
      encoding: 'buffer',
      recursive: false,
    })
    .filter(entry => entry.isDirectory());
  const walk = (at: Buffer, entries: typeof inside): void => {
    for (const entry of entries) {
      const below = Buffer.concat([at, Buffer.from('/'), entry.name]);
      walk(
        below,
        fs
          .readdirSync(below, { withFileTypes: true, encoding: 'buffer' })
          .filter(one => one.isDirectory()),
      );
    }
    fs.utimesSync(at, 1690000000, 1690000000);
  };
  walk(Buffer.from(directory), inside);
};
