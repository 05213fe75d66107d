/**
 * Records of the NBD protocol that a server of one export needs: fixed newstyle handshake,
 * requests, simple and structured replies. All integers are big-endian.
 *
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
import { bytes, fixed, struct, text, u16be, u32be, u64be } from './struct.js';

/** What the server says first. */
export const Greeting = struct('Greeting', 18, {
  magic: fixed(text(8), 'NBDMAGIC'),
  newstyle: fixed(text(8), 'IHAVEOPT'),
  flags: u16be, // HandshakeFlag
});

export const ClientFlags = struct('ClientFlags', 4, { flags: u32be });

/** The same bits mean the same in the server's and in the client's flags. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 0x1, NO_ZEROES: 0x2 } as const;

/** Followed by `length` bytes of data. */
export const OptionRequest = struct('OptionRequest', 16, {
  magic: fixed(text(8), 'IHAVEOPT'),
  option: u32be,
  length: u32be,
});

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** Followed by `length` bytes of data. */
export const OptionReply = struct('OptionReply', 20, {
  magic: fixed(u64be, 0x3_e889_0455_65a9),
  option: u32be,
  reply: u32be, // OptionReplyType
  length: u32be,
});

export const OptionReplyType = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_INVALID: 0x8000_0003,
  ERR_UNKNOWN: 0x8000_0006,
} as const;

/** Data of INFO and GO: this, the name, how many kinds of information are asked for, and which. */
export const InfoRequest = struct('InfoRequest', 4, { nameSize: u32be });
export const InfoCount = struct('InfoCount', 2, { count: u16be });
export const INFO_KIND_SIZE = u16be.size;

/** Data of the options for contexts: a name as in InfoRequest, how many queries, and each with its size. */
export const QueryCount = struct('QueryCount', 4, { count: u32be });
export const QuerySize = struct('QuerySize', 4, { size: u32be });

/** Data of a META_CONTEXT reply: this and the context's name. */
export const MetaContext = struct('MetaContext', 4, { id: u32be });

/** Data of a SERVER reply: this and a name. */
export const ServerName = struct('ServerName', 4, { nameSize: u32be });

/** Data of INFO replies. */
export const InfoExport = struct('InfoExport', 12, {
  kind: fixed(u16be, 0),
  size: u64be,
  flags: u16be, // TransmissionFlag
});
export const InfoBlockSize = struct('InfoBlockSize', 14, {
  kind: fixed(u16be, 3),
  minimum: u32be,
  preferred: u32be,
  maximum: u32be,
});

/** The answer to EXPORT_NAME; 124 zeros follow unless both sides said NO_ZEROES. */
export const ExportFacts = struct('ExportFacts', 10, {
  size: u64be,
  flags: u16be, // TransmissionFlag
});
export const EXPORT_ZEROES = 124;

export const TransmissionFlag = { HAS_FLAGS: 0x1, READ_ONLY: 0x2, CAN_MULTI_CONN: 0x100 } as const;

/** The offset is in two halves, because a client may ask for one that no number can hold. */
export const Request = struct('Request', 28, {
  magic: fixed(u32be, 0x2560_9513),
  flags: u16be,
  command: u16be,
  cookie: bytes(8), // whatever the client likes
  offsetHigh: u32be,
  offsetLow: u32be,
  length: u32be,
});

export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  TRIM: 4,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const CommandFlag = { REQ_ONE: 0x8 } as const;

/** Error numbers, the same on every system. */
export const NbdError = { NONE: 0, EPERM: 1, EIO: 5, EINVAL: 22 } as const;

/** Followed by the bytes that were read, if there was no error. */
export const SimpleReply = struct('SimpleReply', 16, {
  magic: fixed(u32be, 0x6744_6698),
  error: u32be,
  cookie: bytes(8),
});

/** Followed by `length` bytes. */
export const ReplyChunk = struct('ReplyChunk', 20, {
  magic: fixed(u32be, 0x668e_33ef),
  flags: u16be, // ReplyFlag
  type: u16be, // ReplyType
  cookie: bytes(8),
  length: u32be,
});

export const ReplyFlag = { DONE: 0x1 } as const;
export const ReplyType = { NONE: 0, OFFSET_DATA: 1, BLOCK_STATUS: 5, ERROR: 0x8001 } as const;

/** Content of OFFSET_DATA: this and the bytes from there. */
export const DataPlace = struct('DataPlace', 8, { offset: u64be });

/** Content of ERROR: this and a text. */
export const ErrorFacts = struct('ErrorFacts', 6, { error: u32be, textSize: u16be });

/** Content of BLOCK_STATUS: a MetaContext, then one of these for each extent. */
export const Extent = struct('Extent', 8, { length: u32be, flags: u32be /* ExtentFlag */ });
export const ExtentFlag = { HOLE: 0x1, ZERO: 0x2 } as const;
