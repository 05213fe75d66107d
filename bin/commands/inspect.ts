/** Inspects a bootstrap: answers one request, or runs a prompt. */
import { RAFS_VERSIONS } from '../../lib/model/version.js';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { walk, type Visit } from '../../lib/bootstrap/walk.js';
import type { Child, Inode } from '../../lib/model/stored.js';
import { describe, RafsError } from '../../lib/errors.js';
import {
  blobText,
  chunkListText,
  chunkText,
  quoted,
  statsText,
  statText,
} from '../console/image-text.js';
import { shown } from '../../lib/model/names.js';
import type { Run } from '../cli/context.js';
import { TextBuffer, type CommandIo } from '../console/text-buffer.js';
import { readImage } from '../../streams/image/read-image.js';

export interface InspectOptions {
  bootstrap: string;
  /** one request instead of a prompt */
  request?: string | undefined;
  /** where the prompt reads from; default: standard input */
  input?: Readable;
}

const USAGE = `
Available commands:
    stats:          show statistics of the image
    blobs:          show the blob table
    prefetch:       show the prefetch table
    ls:             list the current directory
    cd DIR:         change the current directory
    stat NAME:      show a file of the current directory
    chunk OFFSET:   show the chunks at a compressed offset
    icheck INODE:   show the paths of an inode
    help:           show this
    exit, q:        leave
`;

const PROMPT = 'Inspecting RAFS :> ';

export const run: Run<'inspect'> = ({ values, positionals }, context) => {
  const bootstrap = values.bootstrap ?? positionals[0]!; // the parser requires one of them
  return inspect({ bootstrap, request: values.request }, context);
};

export const inspect = async (options: InspectOptions, io: CommandIo): Promise<void> => {
  const { bootstrap } = await readImage(options.bootstrap);
  const inspector = new Inspector(bootstrap, io);
  if (options.request !== undefined) return request(inspector, options.request, io);
  await prompt(inspector, options.input ?? process.stdin, io);
};

/** Runs one request and writes its result as JSON; a command that only prints gives null. */
const request = async (inspector: Inspector, line: string, io: CommandIo): Promise<void> => {
  const { command, argument } = parse(line);
  const name = argument === undefined ? command : `${command} ${argument}`;
  if (command === '' || command === 'exit' || command === 'q') {
    await io.stdout('null');
    return;
  }
  if (command === 'help') {
    await io.stdout(USAGE);
    throw new RafsError('UNSUPPORTED', 'help is not supported in inspect request mode');
  }
  let result: unknown;
  try {
    result = await inspector.run(command, argument, true);
  } catch (error) {
    if (error instanceof WrongArgument) {
      await io.stdout(`${error.message}\n`);
      throw new RafsError('UNSUPPORTED', `invalid arguments in inspect request \`${name}\``);
    }
    throw error;
  }
  if (result === UNKNOWN) {
    await io.stdout(USAGE);
    throw new RafsError('UNSUPPORTED', `unsupported inspect request \`${name}\``);
  }
  await io.stdout(JSON.stringify(result ?? null));
};

const prompt = async (inspector: Inspector, input: Readable, io: CommandIo): Promise<void> => {
  const lines = createInterface({ input, crlfDelay: Infinity });
  try {
    await io.stdout(PROMPT);
    for await (const line of lines) {
      const { command, argument } = parse(line);
      if (command === 'exit' || command === 'q') return;
      if (command === 'help') await io.stdout(USAGE);
      else if (command !== '') await answer(inspector, command, argument, io);
      await io.stdout(PROMPT);
    }
    await io.stdout('\n');
  } finally {
    lines.close();
  }
};

const answer = async (
  inspector: Inspector,
  command: string,
  argument: string | undefined,
  io: CommandIo,
): Promise<void> => {
  try {
    const result = await inspector.run(command, argument, false);
    if (result === UNKNOWN) await io.stdout(`Unsupported command: ${command}\n${USAGE}`);
  } catch (error) {
    // a broken part of the image does not end the prompt; a closed output does
    if (error instanceof WrongArgument) await io.stdout(`${error.message}\n`);
    else if (error instanceof RafsError) {
      await io.stdout(`Failed to execute command, ${describe(error)}\n`);
    } else throw error;
  }
};

/** The first two words of a line; the argument may be a name, so it is kept as bytes. */
const parse = (line: string): { command: string; argument: string | undefined } => {
  const [command = '', argument] = line.split(/[ \t\r\n\f]+/).filter(word => word !== '');
  return { command, argument: argument && Buffer.from(argument).toString('latin1') };
};

class WrongArgument extends Error {}
const UNKNOWN = Symbol('unknown command');

const SIGNS: Readonly<Partial<Record<Inode['type'], string>>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
};

class Inspector {
  #bootstrap: Bootstrap;
  #out: TextBuffer;
  /** the directories from the root to the current one */
  #open: { inode: Inode; name: string; parentId: number }[];

  constructor(bootstrap: Bootstrap, io: CommandIo) {
    this.#bootstrap = bootstrap;
    this.#out = new TextBuffer(io);
    const root = bootstrap.inode(bootstrap.rootId);
    this.#open = [{ inode: root, name: '', parentId: root.id }];
  }

  /** @param json return the result if there is one, instead of printing it */
  async run(command: string, argument: string | undefined, json: boolean): Promise<unknown> {
    const run = argument === undefined ? this.#plain(command, json) : this.#on(command, argument);
    if (run === UNKNOWN) return UNKNOWN;
    const result = await run;
    await this.#out.flush();
    return result;
  }

  #plain(command: string, json: boolean): Promise<unknown> | typeof UNKNOWN {
    switch (command) {
      case 'stats':
        return this.#stats(json);
      case 'blobs':
        return this.#blobs(json);
      case 'prefetch':
        return this.#prefetch(json);
      case 'ls':
        return this.#list();
      default:
        return UNKNOWN;
    }
  }

  #on(command: string, argument: string): Promise<unknown> | typeof UNKNOWN {
    switch (command) {
      case 'cd':
        return this.#change(argument);
      case 'stat':
        return this.#stat(argument);
      case 'chunk':
        return this.#chunks(number(argument, 'OFFSET', 'u64 value'));
      case 'icheck':
        return this.#paths(number(argument, 'INODE', 'inode number'));
      default:
        return UNKNOWN;
    }
  }

  get #here() {
    return this.#open.at(-1)!; // the root always stays
  }

  async #stats(json: boolean): Promise<unknown> {
    if (json) return { inodes_count: this.#bootstrap.inodeCount };
    await this.#out.write(statsText(this.#bootstrap));
    return undefined;
  }

  async #blobs(json: boolean): Promise<unknown> {
    const { blobs } = this.#bootstrap;
    if (json) {
      return blobs.map(blob => ({
        blob_id: shown(blob.id),
        compressed_size: blob.compressedSize,
        decompressed_size: blob.uncompressedSize,
        readahead_offset: blob.readaheadOffset,
        readahead_size: blob.readaheadSize,
      }));
    }
    for (const blob of blobs) await this.#out.write(blobText(this.#bootstrap, blob));
    return undefined;
  }

  async #prefetch(json: boolean): Promise<unknown> {
    const { prefetch } = this.#bootstrap;
    const paths = new Map<number, string[]>(prefetch.map(id => [id, []]));
    if (prefetch.length > 0) {
      for (const visit of walk(this.#bootstrap)) {
        paths.get(visit.id)?.push(this.#fullPath(visit));
      }
    }
    if (json) return prefetch.map(id => ({ inode: id, path: paths.get(id) ?? [] }));
    await this.#out.write(`Total Prefetching Files: ${prefetch.length}\n`);
    for (const id of prefetch) {
      const quotedPaths = (paths.get(id) ?? []).map(path => `"${path}" `).join('');
      await this.#out.write(`Inode Number:${String(id).padStart(10)} | Path: ${quotedPaths}\n`);
    }
    return undefined;
  }

  /** As clients expect it: directories end in a slash, and so does everything in v5. */
  #fullPath({ inode, path }: Visit): string {
    if (path === '') return '/';
    const slash =
      inode.type === 'directory' || !RAFS_VERSIONS[this.#bootstrap.version].isBlockImage ? '/' : '';
    return `/${shown(path)}${slash}`;
  }

  async #list(): Promise<void> {
    for (const { name, id } of this.#children()) {
      const inode = this.#bootstrap.inode(id);
      const sign = SIGNS[inode.type] ?? ' ';
      await this.#out.write(`${sign}    ${String(inode.id).padEnd(8)} ${quoted(name)}\n`);
    }
  }

  #children(): Iterable<Child> {
    return this.#bootstrap.children(this.#here.inode, this.#here.parentId);
  }

  #find(name: string): Inode | undefined {
    for (const child of this.#children()) {
      if (child.name === name) return this.#bootstrap.inode(child.id);
    }
    return undefined;
  }

  async #change(name: string): Promise<void> {
    if (name === '.') return;
    if (name === '..') {
      if (this.#open.length > 1) this.#open.pop();
      return;
    }
    const inode = this.#find(name);
    if (inode?.type === 'directory') {
      this.#open.push({ inode, name, parentId: this.#here.inode.id });
      return;
    }
    const reason = inode ? 'not a directory' : 'not found';
    await this.#out.write(`${shown(name)} is ${reason}\n`);
  }

  async #stat(name: string): Promise<void> {
    if (name === '.') {
      const { inode, name: own, parentId } = this.#here;
      await this.#out.write(statText({ inode, name: own || '/', parentId }));
      return;
    }
    const inode = this.#find(name);
    if (!inode) return;
    const parentId = this.#here.inode.id;
    await this.#out.write(statText({ inode, name, parentId }));
    if (inode.type !== 'file') return;
    await this.#out.write('  Chunk list:\n');
    let i = 0;
    for (const chunk of this.#bootstrap.chunks(inode)) {
      await this.#out.write(chunkListText(this.#bootstrap.blobs, chunk, i++));
    }
  }

  async #chunks(offset: number): Promise<void> {
    for (const visit of walk(this.#bootstrap)) {
      for (const chunk of this.#bootstrap.chunks(visit.inode)) {
        if (chunk.compressedOffset !== offset) continue;
        await this.#out.write(chunkText(this.#bootstrap.blobs, visit, chunk));
      }
    }
  }

  async #paths(id: number): Promise<void> {
    for (const visit of walk(this.#bootstrap)) {
      if (visit.id !== id) continue;
      await this.#out.write(`${this.#fullPath(visit)}\n`);
      await this.#out.write(statText({ ...visit, name: visit.name || '/' }));
    }
  }
}

const number = (text: string, name: string, what: string): number => {
  if (/^\+?[0-9]+$/.test(text)) return Number(text);
  throw new WrongArgument(
    `Wrong ${name} is specified. Is it a ${name === 'OFFSET' ? 'valid ' : ''}${what}?`,
  );
};
