/** What a server of one NBD export answers: bytes of replies, and what requests say. */
import { RafsError } from './errors.js';
import {
  DataPlace,
  ErrorFacts,
  EXPORT_ZEROES,
  ExportFacts,
  INFO_KIND_SIZE,
  InfoBlockSize,
  InfoCount,
  InfoExport,
  InfoRequest,
  OptionReply,
  ReplyChunk,
  ReplyFlag,
  ReplyType,
  ServerName,
  SimpleReply,
  TransmissionFlag,
} from './layout/nbd.js';

/** The one name that an export has: the default one. */
export const EXPORT_NAME = '';

/** The most that a read may ask for: what clients may count on without being told. */
export const MOST_READ = 0x2000000;

/** What is served: it can be read, and from several connections with the same result. */
const FLAGS =
  TransmissionFlag.HAS_FLAGS | TransmissionFlag.READ_ONLY | TransmissionFlag.CAN_MULTI_CONN;

const NOTHING = Buffer.alloc(0);

/** An answer to an option of the handshake. */
export const optionReply = (option: number, reply: number, data: Buffer = NOTHING): Buffer =>
  Buffer.concat([OptionReply.encode({ option, reply, length: data.length }), data]);

/** Data of the reply that names an export. */
export const serverName = (name: string): Buffer => {
  const bytes = Buffer.from(name);
  return Buffer.concat([ServerName.encode({ nameSize: bytes.length }), bytes]);
};

/** The name that INFO or GO asks for; CORRUPT unless the data are that and nothing more. */
export const requestedName = (data: Buffer): string => {
  const { nameSize } = InfoRequest.decode(data);
  const { count } = InfoCount.decode(data, InfoRequest.size + nameSize);
  const due = InfoRequest.size + nameSize + InfoCount.size + count * INFO_KIND_SIZE;
  if (due !== data.length) throw new RafsError('CORRUPT', `${data.length} bytes, not ${due}`);
  return data.toString('utf8', InfoRequest.size, InfoRequest.size + nameSize);
};

/** Data of the replies that say what the export is. */
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

/** What comes before `size` bytes of a structured reply. */
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

/** The end of a structured reply that failed, or fails from the start. */
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

/** Strings of the protocol have at most so many bytes. */
const MOST_TEXT = 4096;
