/** Stacks of tars as images, built and merged within the process; images and folders as lines. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { blobElsewhere } from '../../../lib/bootstrap/blob-table.js';
import type { Bootstrap } from '../../../lib/bootstrap/bootstrap.js';
import { walk } from '../../../lib/bootstrap/walk.js';
import { prepareCompressors } from '../../../lib/compress/compressors.js';
import { prepareDigests } from '../../../lib/crypto/digest.js';
import { parseBootstrap } from '../../../lib/bootstrap/parse.js';
import { loadImage } from '../../../lib/image/load-image.js';
import { Merger } from '../../../lib/image/merge.js';
import type {
  BytesPart,
  FinishPart,
  ImagePart as BuiltPart,
  SectionPart,
} from '../../../lib/model/parts.js';
import { blobReader, type ImagePart } from '../../../streams/read/blob-reader.js';
import { nativeFromTar, tarfsFromTar } from '../../../streams/pipelines.js';
import { readerOf } from '../../../streams/io/reader-at.js';
import type { Batch } from '../../../streams/batch.js';
import { collect } from '../stream/stage.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const OPTIONS = {
  compressor: 'none',
  digester: 'sha256',
  chunkSize: 0x4000,
  inlineMeta: false,
  blobToc: false,
  explicitUidGid: true,
  workers: 0,
  compression: 'none',
} as const;

export interface BuiltStack {
  /** by the way in which they were made */
  images: { readonly chained: Bootstrap } & Readonly<
    Partial<Record<'merged' | 'half chained' | 'tarfs', Bootstrap>>
  >;
  /** by id */
  blobs: ReadonlyMap<string, Buffer>;
}

interface StackOptions {
  fsVersion?: 5 | 6;
  /** a layer makes sense only over those below: it is not built alone */
  dependent?: boolean;
}

/**
 * The layers merged; built one over the other; the upper ones merged over the lowest; as Tarfs,
 * which is v6 only.
 */
export const builtStack = async (
  tars: readonly Buffer[],
  { fsVersion = 6, dependent = false }: StackOptions = {},
): Promise<BuiltStack> => {
  await Promise.all([prepareCompressors(), prepareDigests()]);
  const given = { ...OPTIONS, fsVersion };
  const blobs = new Map<string, Buffer>();
  const layers: Bootstrap[] = [];
  const mapped: Bootstrap[] = [];
  let chained: Bootstrap | undefined;
  for (const tar of tars) {
    blobs.set(sha256(tar), tar);
    const lower = chained && loadImage(chained);
    for (const options of [...(dependent ? [] : [given]), { ...given, lower }]) {
      const { bootstrap, blob } = await built(await nativeFromTar(options), tar);
      blobs.set(sha256(blob), blob);
      if ('lower' in options) chained = bootstrap;
      else layers.push(bootstrap);
    }
    if (fsVersion === 5 || dependent) continue;
    mapped.push((await built(tarfsFromTar(given), tar)).bootstrap);
  }
  const images = {
    chained: chained!,
    ...(dependent ? {} : { merged: merged(layers) }),
    ...(layers.length > 1 ? { 'half chained': merged(layers.slice(1), layers[0]) } : {}),
    ...(mapped.length > 0 ? { tarfs: merged(mapped) } : {}),
  };
  return { blobs, images };
};

const built = async (
  stages: Duplex,
  tar: Buffer,
): Promise<{ bootstrap: Bootstrap; blob: Buffer }> => {
  const parts = await collect<BytesPart, SectionPart | FinishPart | BuiltPart>(stages, [
    { kind: 'bytes', offset: 0, bytes: Buffer.from(tar) },
  ]);
  const bytes = (artifact: SectionPart['artifact']): Buffer =>
    Buffer.concat(
      parts.flatMap(part =>
        part.kind === 'section' && part.artifact === artifact ? [part.bytes] : [],
      ),
    );
  return { bootstrap: parseBootstrap(bytes('bootstrap')), blob: bytes('blob') };
};

const merged = (layers: readonly Bootstrap[], parent?: Bootstrap): Bootstrap => {
  const merger = new Merger(parent ? { parent: loadImage(parent) } : {});
  for (const [n, bootstrap] of layers.entries()) {
    const own = { id: '', keepsId: true };
    merger.add({ bootstrap, blobs: bootstrap.blobs.map(blobElsewhere), own, path: `layer ${n}` });
  }
  return parseBootstrap(Buffer.concat([...merger.finish({ prefetch: [] }).bootstrap.pieces]));
};

interface Line {
  path: string;
  /** what names of one file have in common */
  file: number | undefined;
  facts: readonly (string | number | undefined)[];
  content: string;
}

/** A line for every name; of names of one file, all say which is the first. */
const textOf = (lines: readonly Line[]): string[] => {
  const sorted = [...lines].sort((a, b) => (a.path < b.path ? -1 : 1));
  const first = new Map<number, Line>();
  return sorted.map(line => {
    const { path, file, facts } = line;
    if (file === undefined) return `${path} ${facts.join(' ')}`;
    // content is read once, under whichever name
    const one = first.get(file) ?? line;
    first.set(file, one);
    return `${path} ${facts.join(' ')} is ${one.path} ${one.content}`;
  });
};

const TYPES = [
  [0o040000, 'directory'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
] as const;

/** What is below a folder, itself included. */
export const linesBelow = (root: string): string[] => {
  const lines: Line[] = [];
  const visit = (name: string): void => {
    const file = path.join(root, name);
    const stat = fs.lstatSync(file);
    const type = TYPES.find(([bits]) => (stat.mode & 0o170000) === bits)?.[1] ?? 'other';
    const owner = `${stat.uid}:${stat.gid}`;
    const target = type === 'symlink' ? fs.readlinkSync(file) : '';
    lines.push({
      path: name,
      file: type === 'file' ? stat.ino : undefined,
      facts: [
        type,
        (stat.mode & 0o7777).toString(8),
        owner,
        Math.floor(stat.mtimeMs / 1000),
        target,
      ],
      content: type === 'file' ? sha256(fs.readFileSync(file)) : '',
    });
    if (type !== 'directory') return;
    for (const child of fs.readdirSync(file)) visit(path.join(name, child));
  };
  visit('');
  return textOf(lines);
};

/** What an image holds, read out of its blobs. */
export const linesOf = async (
  bootstrap: Bootstrap,
  blobsById: ReadonlyMap<string, Buffer>,
): Promise<string[]> => {
  const contents = new Map<string, string>();
  const blobs = new Map(
    bootstrap.blobs.map(({ id, index }) => [index, readerOf(blobsById.get(id)!, id)]),
  );
  let pieces: Buffer[] = [];
  let name = '';
  // what the reader makes are batches of parts
  for await (const batch of blobReader({ bootstrap, blobs }) as AsyncIterable<Batch<ImagePart>>) {
    for (const part of batch) {
      if (part.kind === 'entry') [name, pieces] = [part.entry.path, []];
      else if (part.kind === 'chunk') pieces.push(Buffer.from(part.bytes));
      else contents.set(name, sha256(Buffer.concat(pieces)));
    }
  }
  const lines: Line[] = [];
  const firstNames = new Map<number, string>();
  for (const { path, inode } of walk(bootstrap)) {
    const { type, mode, uid, gid, mtime, id } = inode;
    const target = type === 'symlink' ? bootstrap.symlinkTarget(inode) : '';
    if (!firstNames.has(id)) firstNames.set(id, path);
    lines.push({
      path,
      file: type === 'file' ? id : undefined,
      facts: [type, (mode & 0o7777).toString(8), `${uid}:${gid}`, mtime, target],
      content: type === 'file' ? contents.get(firstNames.get(id)!)! : '',
    });
  }
  return textOf(lines);
};
