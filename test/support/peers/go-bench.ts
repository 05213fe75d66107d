/**
 * What the client is asked for, with what must hold of every answer. Layers and blobs that several
 * tests need are made once.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { succeed } from '../process/cli.js';
import { temporaryDirectory } from '../process/fs.js';
import { buildGo } from './go.js';
import { GoClient, type Answer, type Member, type Request } from './go-client.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
export const fileDigest = (file: string): string => sha256(fs.readFileSync(file));

export interface LayerFile {
  file: string;
  /** of the file */
  digest: string;
}

export interface Packed {
  file: string;
  digest: string;
  /** how the builder was called, a line each */
  commands: string;
}

export interface Merged {
  file: string;
  digests: readonly string[];
}

/** Fields of a request; of a merge also whether the client may warn of something. */
export type Options = Readonly<Record<string, unknown>>;

/** Sections that a v6 blob must have; the table of contents tells of all but itself. */
const SECTIONS = ['image.boot', 'blob.meta', 'blob.meta.header', 'blob.digest', 'image.blob'];

/** Those that a layer without data has not. */
export const NO_DATA = SECTIONS.filter(name => name !== 'image.boot');

/** Commands of ours that read what the client has made. */
const CHECK = ['check', '--log-level', 'warn', '--bootstrap'];
export const UNPACK = ['unpack', '--log-level', 'warn', '--bootstrap'];

export const isSound = (t: Test, bootstrap: string) => succeed(t, [...CHECK, bootstrap]);

/** Compared as bytes, which are not printed if they differ. */
export const sameFile = (t: Test, found: string, wanted: string, what: string): void => {
  t.equal(fs.statSync(found).size, fs.statSync(wanted).size, `${what}: size`);
  t.equal(fileDigest(found), fileDigest(wanted), what);
};

export class GoBench {
  readonly #root: Test;
  /** a directory that stays as long as the tests of a file */
  readonly #home: string;
  /** why there is no client here; false if there is one */
  readonly #skip: string | false;
  readonly #client: GoClient | undefined;
  readonly #layers = new Map<string, Promise<LayerFile>>();
  readonly #blobs = new Map<string, Promise<Packed>>();

  /**
   * @param t the root of the tests of a file. They are processes that wait for each other: two tests
   *   run at once.
   */
  constructor(t: Test) {
    this.#root = t;
    t.jobs = 2;
    // it may have to be built, and every answer is a process or more
    t.setTimeout(900_000);
    this.#home = temporaryDirectory(t);
    const { program, missing } = buildGo('go-client');
    this.#skip = missing;
    this.#client = missing === false ? new GoClient(program, this.#home) : undefined;
  }

  /** A test, skipped where there is no client. */
  test(name: string, work: (t: Test) => Promise<void>): void {
    // tap keeps what it finds out in these options: every test has its own
    void this.#root.test(name, { skip: this.#skip, buffered: true }, work);
  }

  get #asked(): GoClient {
    if (!this.#client) throw new Error('there is no client');
    return this.#client;
  }

  /** Asks for what must go well, and returns the answer and how the builder was called. */
  async does(
    t: Test,
    request: Request,
    { warns = false }: { warns?: boolean } = {},
  ): Promise<Answer & { commands: string }> {
    const { answer, commands, log, hung } = await this.#asked.ask(request);
    t.equal(hung, false, `${request.Op} ends`);
    t.equal(answer.Error, undefined, `${request.Op}: no error${answer.Error ? `\n${log}` : ''}`);
    const complaint = warns ? /level=error/ : /level=(warning|error)/;
    t.notMatch(log, complaint, `${request.Op}: nothing missing, nothing failed`);
    return { ...answer, commands: commands.join('\n') };
  }

  /** Asks for what must fail: by itself, and with an error. */
  async fails(t: Test, request: Request, says: RegExp): Promise<void> {
    const { answer, log, hung } = await this.#asked.ask(request);
    t.equal(hung, false, 'ends by itself');
    t.match(answer.Error, /./, 'the client is told');
    t.match(`${answer.Error}\n${log}`, says, 'and why');
  }

  /** A layer that the client makes, as a tar or a tar.gz. */
  layer(name: string, gzip = false): Promise<LayerFile> {
    const file = path.join(this.#home, `${name}.tar${gzip ? '.gz' : ''}`);
    const made = this.#layers.get(file) ?? this.#makeLayer(name, file, gzip);
    this.#layers.set(file, made);
    return made;
  }

  async #makeLayer(name: string, file: string, gzip: boolean): Promise<LayerFile> {
    const request = { Op: 'layer', Layer: name, Target: file, Gzip: gzip } as const;
    const { answer } = await this.#asked.ask(request);
    return { file, digest: answer.Digest! };
  }

  /** Packs a layer now. */
  async pack(t: Test, source: LayerFile, options: Options): Promise<Packed> {
    const TargetDir = fs.mkdtempSync(path.join(this.#home, 'pack-'));
    const request = { Op: 'pack', Source: source.file, TargetDir, ...options } as const;
    const { Path, Digest, commands } = await this.does(t, request);
    return { file: Path!, digest: Digest!, commands };
  }

  /** The blob of a layer of the client's, packed by whoever asks first. */
  packed(t: Test, name: string, options: Options): Promise<Packed> {
    const key = `${name} ${JSON.stringify(options)}`;
    const known = this.#blobs.get(key);
    if (known) return known;
    const made = this.layer(name).then(source => this.pack(t, source, options));
    this.#blobs.set(key, made);
    return made;
  }

  async unpack(t: Test, file: string, options: Options = {}): Promise<string> {
    const Target = path.join(temporaryDirectory(t), 'oci.tar');
    await this.does(t, { Op: 'unpack', Source: file, Target, ...options });
    return Target;
  }

  async members(t: Test, file: string, into?: string): Promise<readonly Member[]> {
    const request = { Op: 'list', Source: file, ...(into ? { TargetDir: into } : {}) } as const;
    return (await this.does(t, request)).Members!;
  }

  mergeRequest(
    t: Test,
    packed: readonly (Packed & { original?: string })[],
    options: Options = {},
  ): Request & { Target: string } {
    return {
      Op: 'merge',
      Target: path.join(temporaryDirectory(t), 'merged'),
      Layers: packed.map(({ file, original }) => ({ Path: file, Original: original })),
      ...options,
    };
  }

  async merge(
    t: Test,
    packed: readonly (Packed & { original?: string })[],
    { warns = false, ...options }: Options & { warns?: boolean } = {},
  ): Promise<Merged> {
    const request = this.mergeRequest(t, packed, options);
    const { Digests = [] } = await this.does(t, request, { warns });
    return { file: request.Target, digests: Digests };
  }

  /** What an image has: names of directories, and digests of files by name. */
  async tree(
    t: Test,
    bootstrap: string,
    packed: readonly Packed[],
  ): Promise<Record<string, string | undefined>> {
    const directory = temporaryDirectory(t);
    for (const { file } of packed) fs.symlinkSync(file, path.join(directory, path.basename(file)));
    const tar = path.join(directory, 'tar');
    await succeed(t, [...UNPACK, bootstrap, '--blob-dir', directory, '--output', tar]);
    const members = await this.members(t, tar);
    return Object.fromEntries(members.map(({ Name, Digest }) => [Name, Digest]));
  }

  /** Takes the bootstrap out of a tar, which has the tables of some blobs beside it. */
  async bootstrapIn(t: Test, tar: string, tables: readonly Packed[]): Promise<string> {
    const into = temporaryDirectory(t);
    const members = await this.members(t, tar, into);
    const names = tables.map(({ file }) => `image/${path.basename(file)}.blob.meta`);
    t.same(
      members.map(({ Name }) => Name.replace(/\/$/, '')),
      ['image', 'image/image.boot', ...names],
    );
    for (const { file } of tables) {
      const { Sections = {} } = await this.does(t, { Op: 'sections', Source: file });
      const padded = Math.ceil(Sections['blob.meta']!.Size / 0x1000) * 0x1000;
      const table = path.join(into, `${path.basename(file)}.blob.meta`);
      t.equal(fs.statSync(table).size, padded + 0x1000, 'a table and its header');
    }
    return path.join(into, 'image.boot');
  }

  /** Sections as the client reads them: digests and sizes are those of the table of contents. */
  async checkSections(
    t: Test,
    packed: Packed,
    { toc, without = [] }: { toc: boolean; without?: readonly string[] },
  ): Promise<void> {
    const { Sections = {} } = await this.does(t, { Op: 'sections', Source: packed.file });
    t.equal(Sections['rafs.blob.toc']?.Found, toc, 'a table of contents');
    const names = toc ? SECTIONS : ['image.boot', 'image.blob'];
    const found = Object.keys(Sections).filter(name => Sections[name]!.Found);
    const wanted = names.filter(name => !without.includes(name));
    t.same(found.sort(), [...wanted, ...(toc ? ['rafs.blob.toc'] : [])].sort());
    for (const name of wanted) {
      const { Size, Digest, TOC } = Sections[name]!;
      if (!toc) {
        t.equal(TOC, null, `${name} is found by its header`);
        continue;
      }
      // what the table has for the chunks is not of the bytes that are there: their unpacked size, and
      // a digest of them and their header
      if (name === 'image.blob') {
        t.match(TOC, { CompressedOffset: 0, CompressedSize: Size });
        continue;
      }
      t.match(TOC, { UncompressedSize: Size, Digest }, name);
      if (name === 'blob.meta.header') t.equal(Size, 0x1000);
    }
  }
}
