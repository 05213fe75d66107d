/** The files of an archive: a tar that can be read at any offset, indexed once by its headers. */
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { located, RafsError } from '../../lib/errors.js';
import { alignUp } from '../../lib/layout/align.js';
import { BLOCK_SIZE, TarType } from '../../lib/layout/tar.js';
import type { BytesPart } from '../../lib/model/parts.js';
import { checkHeader, readHeader, readLinkName } from '../../lib/tar/header.js';
import { readPax } from '../../lib/tar/pax.js';
import type { Batch } from '../batch.js';
import { openReaderAt, type ReaderAt } from '../io/reader-at.js';
import { openSource } from '../io/source.js';
import { temporaryName } from '../files/temporary-name.js';
import { decompress, isPlain, sniff, SNIFFED_SIZE } from '../layer/decompress.js';
import { streamOf, within, type FileStore } from './file-store.js';
import { shown } from '../../lib/model/names.js';

interface Member {
  offset: number;
  size: number;
  /** another name that holds the content */
  link?: string;
}

/** Most members, so that an archive of empty files does not fill memory. */
const MOST_MEMBERS = 0x40000;
const MOST_META = 0x100000;
const MOST_LINKS = 16;

export interface ArchiveOptions {
  /** most bytes to spool of an archive that cannot be read at any offset */
  spoolLimit?: number;
  signal?: AbortSignal;
}

/** What a pipe or a compressed archive may take on disk unless told otherwise. */
const SPOOL_LIMIT = 0x10_0000_0000;

/**
 * Opens an archive; '-' is standard input. Writers put the list of contents last, so one that
 * cannot be read at any offset (a pipe, or compressed) is first spooled into an unnamed file.
 */
export const openArchive = async (
  file: string,
  options: ArchiveOptions = {},
): Promise<FileStore> => {
  const reader = (await plainFile(file)) ?? (await spooled(file, options));
  try {
    const members = await membersOf(reader);
    return archiveStore(file, reader, members);
  } catch (error) {
    await reader.close();
    throw located(error, { archive: file });
  }
};

const archiveStore = (
  file: string,
  reader: ReaderAt,
  members: ReadonlyMap<string, Member>,
): FileStore => {
  const memberOf = (name: string): Member | undefined => {
    let member = members.get(name);
    for (let i = 0; member?.link !== undefined; i++) {
      if (i === MOST_LINKS) {
        throw new RafsError('CORRUPT', 'a link leads nowhere', { archive: file, file: name });
      }
      member = members.get(member.link);
    }
    return member;
  };
  return {
    find: async name => memberOf(name)?.size,
    async open(name, range = {}) {
      const member = memberOf(name);
      if (!member)
        throw new RafsError('CORRUPT', 'a file is missing', { archive: file, file: name });
      const { offset, size } = within(member.size, range, name);
      return streamOf(reader, { offset: member.offset + offset, size, signal: range.signal });
    },
    close: () => reader.close(),
  };
};

/** A regular file with a plain tar; undefined for anything else. */
const plainFile = async (file: string): Promise<ReaderAt | undefined> => {
  if (file === '-' || file === '/dev/stdin') return undefined;
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) await handle.read(Buffer.alloc(1), 0, 1, 0); // EISDIR
    if (!stat.isFile()) return undefined;
    const head = Buffer.alloc(SNIFFED_SIZE);
    const { bytesRead } = await handle.read(head, 0, SNIFFED_SIZE, 0);
    if (!isPlain(head.subarray(0, bytesRead))) return undefined;
  } finally {
    await handle.close();
  }
  return openReaderAt(file);
};

const spooled = async (
  file: string,
  { spoolLimit = SPOOL_LIMIT, signal }: ArchiveOptions,
): Promise<ReaderAt> => {
  const source = openSource(file);
  const temporary = temporaryName(process.env.TMPDIR || tmpdir());
  const handle = await open(temporary, 'wx+', 0o600);
  await unlink(temporary); // it vanishes with its descriptor, whatever happens to us
  let size = 0;
  const store = async (bytes: Buffer): Promise<void> => {
    if (size + bytes.length > spoolLimit) {
      throw new RafsError(
        'LIMIT',
        `an archive from a pipe, or compressed, is spooled up to ${spoolLimit} bytes, and this one is larger`,
        { archive: file },
      );
    }
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, size + at);
      at += bytesWritten;
    }
    size += bytes.length;
  };
  try {
    const compression = sniff(await source.peek(SNIFFED_SIZE));
    const given = signal ? { signal } : {};
    const [stage] = decompress(compression);
    if (stage) await pipeline(source, stage, flat, each(store), given);
    else await pipeline(source, flat, each(store), given);
  } catch (error) {
    source.destroy();
    await handle.close();
    throw located(error, { archive: file });
  }
  return {
    size,
    async read(offset, count, into = Buffer.allocUnsafe(count)) {
      for (let at = 0; at < count;) {
        const { bytesRead } = await handle.read(into, at, count - at, offset + at);
        if (bytesRead === 0) {
          throw new RafsError('CORRUPT', `the archive ends unexpectedly at ${offset + at}`, {
            archive: file,
          });
        }
        at += bytesRead;
      }
      return into;
    },
    close: () => handle.close(),
  };
};

async function* flat(batches: AsyncIterable<Batch<BytesPart>>): AsyncGenerator<Buffer> {
  for await (const batch of batches) for (const { bytes } of batch) yield bytes;
}

const each =
  (store: (bytes: Buffer) => Promise<void>) =>
  async (pieces: AsyncIterable<Buffer>): Promise<void> => {
    for await (const bytes of pieces) await store(bytes);
  };

/** Names as a layout has them: without a leading `./`. */
const plainName = (name: string): string => name.replace(/^(\.?\/)+/, '').replace(/\/+$/, '');

/** All files of a tar by name; a later one replaces an earlier one. */
const membersOf = async (reader: ReaderAt): Promise<Map<string, Member>> => {
  const members = new Map<string, Member>();
  let longName: string | undefined;
  let longLink: string | undefined;
  let paxSize: number | undefined;
  for (let at = 0; at + BLOCK_SIZE <= reader.size;) {
    const block = await reader.read(at, BLOCK_SIZE);
    if (!checkHeader(block, 0)) {
      at += BLOCK_SIZE;
      continue;
    }
    const header = readHeader(block, 0);
    const size: number = paxSize ?? header.size;
    const offset = at + BLOCK_SIZE;
    if (!Number.isSafeInteger(size) || size < 0 || offset + size > reader.size) {
      throw new RafsError(
        'CORRUPT',
        `a file of ${size} bytes at ${offset} extends past the end of the archive at ${reader.size}`,
      );
    }
    at = offset + alignUp(size, BLOCK_SIZE);
    const { type } = header;
    if (type === TarType.PAX || type === TarType.GNU_LONG_NAME || type === TarType.GNU_LONG_LINK) {
      if (size > MOST_META)
        throw new RafsError('LIMIT', `a tar header of ${size} bytes is too large`);
      const bytes = await reader.read(offset, size);
      const textOf = (): string => bytes.toString('latin1').replace(/\0.*$/s, '');
      if (type === TarType.GNU_LONG_NAME) longName = textOf();
      else if (type === TarType.GNU_LONG_LINK) longLink = textOf();
      else {
        for (const { key, value } of readPax(bytes)) {
          const text = value.toString('latin1');
          if (key === 'path') longName = text;
          else if (key === 'linkpath') longLink = text;
          else if (key === 'size') paxSize = Number(text);
        }
      }
      continue;
    }
    if (type === TarType.PAX_GLOBAL) continue;
    const name = plainName(shown(longName ?? header.name));
    const target = shown(longLink ?? readLinkName(block, 0));
    longName = longLink = paxSize = undefined;
    if (type === TarType.FILE || type === TarType.OLD_FILE) members.set(name, { offset, size });
    else if (type === TarType.HARDLINK) {
      members.set(name, { offset: 0, size: 0, link: plainName(target) });
    } else if (type === TarType.SYMLINK) {
      const link = plainName(path.posix.join(path.posix.dirname(name), target));
      members.set(name, { offset: 0, size: 0, link });
    }
    if (members.size > MOST_MEMBERS) throw new RafsError('LIMIT', 'the archive has too many files');
  }
  return members;
};
