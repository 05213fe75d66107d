/** Makes the replies of a server of one NBD export, and reads what clients ask for. */
import { RafsError } from '../errors.js';
import type { DeviceExtent } from './block-map.js';
import {
  DataPlace,
  ErrorFacts,
  EXPORT_ZEROES,
  ExportFacts,
  Extent,
  ExtentFlag,
  INFO_KIND_SIZE,
  InfoBlockSize,
  InfoCount,
  InfoExport,
  InfoRequest,
  MetaContext,
  OptionReply,
  QueryCount,
  QuerySize,
  ReplyChunk,
  ReplyFlag,
  ReplyType,
  ServerName,
  SimpleReply,
  TransmissionFlag,
} from '../layout/nbd.js';

/** The only name that the export has: the default one. */
export const EXPORT_NAME = '';

/** The most that a read may ask for: what clients may assume unless they are told otherwise. */
export const MOST_READ = 0x2000000;

/** The export is read-only, and several connections see the same. */
const FLAGS =
  TransmissionFlag.HAS_FLAGS | TransmissionFlag.READ_ONLY | TransmissionFlag.CAN_MULTI_CONN;

const NOTHING = Buffer.alloc(0);

/** A reply to an option of the handshake. */
export const optionReply = (option: number, reply: number, data: Buffer = NOTHING): Buffer =>
  Buffer.concat([OptionReply.encode({ option, reply, length: data.length }), data]);

/** Data of the reply that names an export. */
export const serverName = (name: string): Buffer => {
  const bytes = Buffer.from(name);
  return Buffer.concat([ServerName.encode({ nameSize: bytes.length }), bytes]);
};

/** The name that INFO or GO asks for; CORRUPT unless the data are exactly such a request. */
export const requestedName = (data: Buffer): string => {
  const { nameSize } = InfoRequest.decode(data);
  const { count } = InfoCount.decode(data, InfoRequest.size + nameSize);
  const due = InfoRequest.size + nameSize + InfoCount.size + count * INFO_KIND_SIZE;
  if (due !== data.length)
    throw new RafsError('CORRUPT', `expected ${due} bytes, got ${data.length}`);
  return data.toString('utf8', InfoRequest.size, InfoRequest.size + nameSize);
};

/** Data of the replies that describe the export. */
export const exportInfos = (size: number, blockSize: number): Buffer[] => [
  InfoExport.encode({ size, flags: FLAGS }),
  InfoBlockSize.encode({ minimum: 1, preferred: blockSize, maximum: MOST_READ }),
];

/** The whole answer to EXPORT_NAME. */
export const exportFacts = (size: number, zeroes: boolean): Buffer =>
  Buffer.concat([
    ExportFacts.encode({ size, flags: FLAGS }),
    Buffer.alloc(zeroes ? EXPORT_ZEROES : 0),
  ]);

export const simpleReply = (cookie: Buffer, error: number): Buffer =>
  SimpleReply.encode({ cookie, error });

/** What precedes `size` bytes of data in a structured reply. */
export const dataChunk = (cookie: Buffer, offset: number, size: number, done: boolean): Buffer =>
  Buffer.concat([
    ReplyChunk.encode({
      flags: done ? ReplyFlag.DONE : 0,
      type: ReplyType.OFFSET_DATA,
      cookie,
      length: DataPlace.size + size,
    }),
    DataPlace.encode({ offset }),
  ]);

/** The one context of block status, and the number it has in replies. */
export const ALLOCATION = 'base:allocation';
const ALLOCATION_ID = 1;

/** What a client asks of contexts: names, or the name of a namespace with its colon. */
export interface ContextRequest {
  /** of the export */
  name: string;
  queries: readonly string[];
}

/** CORRUPT unless the data are exactly a request for contexts. */
export const contextRequest = (data: Buffer): ContextRequest => {
  const { nameSize } = InfoRequest.decode(data);
  let at = InfoRequest.size + nameSize;
  const name = data.toString('utf8', InfoRequest.size, at);
  const { count } = QueryCount.decode(data, at);
  at += QueryCount.size;
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    const { size } = QuerySize.decode(data, at);
    at += QuerySize.size + size;
    queries.push(data.toString('utf8', at - size, at));
  }
  if (at !== data.length)
    throw new RafsError('CORRUPT', `expected ${at} bytes, got ${data.length}`);
  return { name, queries };
};

/** Data of the reply that names the context. */
export const allocationContext = (): Buffer =>
  Buffer.concat([MetaContext.encode({ id: ALLOCATION_ID }), Buffer.from(ALLOCATION)]);

/** A whole reply that says which extents have data, one after another. */
export const statusChunk = (cookie: Buffer, extents: readonly DeviceExtent[]): Buffer =>
  Buffer.concat([
    ReplyChunk.encode({
      flags: ReplyFlag.DONE,
      type: ReplyType.BLOCK_STATUS,
      cookie,
      length: MetaContext.size + extents.length * Extent.size,
    }),
    MetaContext.encode({ id: ALLOCATION_ID }),
    ...extents.map(({ size, hole }) =>
      Extent.encode({ length: size, flags: hole ? ExtentFlag.HOLE | ExtentFlag.ZERO : 0 }),
    ),
  ]);

/** The end of a structured reply that failed, whether or not data came before. */
export const errorChunk = (cookie: Buffer, error: number, message: string): Buffer => {
  const text = Buffer.from(message).subarray(0, MOST_TEXT);
  return Buffer.concat([
    ReplyChunk.encode({
      flags: ReplyFlag.DONE,
      type: ReplyType.ERROR,
      cookie,
      length: ErrorFacts.size + text.length,
    }),
    ErrorFacts.encode({ error, textSize: text.length }),
    text,
  ]);
};

/** The most bytes that a string of the protocol may have. */
const MOST_TEXT = 4096;
