/**
 * An NBD server's session with one client: the handshake, then replies in the order of requests.
 *
 * holds 1 MiB of a reply
 *
 * Whatever the client sends, the worst that happens is that its connection is closed.
 */
import type { Duplex } from 'node:stream';
import { RafsError } from '../../lib/errors.js';
import {
  ClientFlags,
  Command,
  CommandFlag,
  Greeting,
  HandshakeFlag,
  NbdError,
  Option,
  OptionReplyType,
  OptionRequest,
  Request,
} from '../../lib/layout/nbd.js';
import {
  ALLOCATION,
  allocationContext,
  contextRequest,
  dataChunk,
  errorChunk,
  EXPORT_NAME,
  exportFacts,
  exportInfos,
  MOST_READ,
  optionReply,
  requestedName,
  serverName,
  simpleReply,
  statusChunk,
} from '../../lib/device/nbd.js';
import type { ValueOf } from '../../lib/layout/struct.js';
import type { BlockDevice } from '../device/block-reader.js';
import { NbdConnection } from './connection.js';

export interface NbdSessionOptions {
  device: BlockDevice;
  /** preferred unit of reads */
  blockSize: number;
  /** called when the device cannot be read */
  onReadError: (error: unknown) => void;
}

/** Time limit for the handshake; after it a client may be silent as long as it likes. */
const HANDSHAKE_MS = 30_000;
/** Most data in an option: much more than the longest name and every kind of information take. */
const MOST_OPTION = 0x10000;
const PIECE_SIZE = 0x100000;

/** Serves one client until it leaves; rejects if it breaks the protocol. Destroys the stream. */
export const serveNbd = async (stream: Duplex, options: NbdSessionOptions): Promise<void> => {
  const client = new NbdConnection(stream);
  const timer = setTimeout(() => stream.destroy(), HANDSHAKE_MS).unref();
  try {
    const agreed = await shakeHands(client, options);
    clearTimeout(timer);
    if (agreed) await answer(client, options, agreed);
    await client.end();
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
};

interface Agreed {
  structured: boolean;
  /** the client may ask for block status */
  allocation: boolean;
}

/** Undefined if the client leaves instead. */
const shakeHands = async (
  client: NbdConnection,
  { device, blockSize }: NbdSessionOptions,
): Promise<Agreed | undefined> => {
  const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;
  await client.write(Greeting.encode({ flags: known }));
  const first = await client.take(ClientFlags.size);
  if (!first) return undefined;
  const { flags } = ClientFlags.decode(first);
  if ((flags & ~known) !== 0) {
    throw new RafsError('UNSUPPORTED', `unexpected client flags 0x${flags.toString(16)}`);
  }
  const agreed: Agreed = { structured: false, allocation: false };
  for (;;) {
    const head = await client.take(OptionRequest.size);
    if (!head) return undefined;
    const { option, length } = OptionRequest.decode(head);
    if (length > MOST_OPTION)
      throw new RafsError('LIMIT', `an option of ${length} bytes is too long`);
    const data = await client.take(length);
    if (!data) return undefined;
    const reply = (type: number, content?: Buffer): Promise<void> =>
      client.write(optionReply(option, type, content));
    switch (option) {
      case Option.EXPORT_NAME:
        // this option can be refused only by disconnecting
        if (data.toString() !== EXPORT_NAME) throw unknownExport(data.toString());
        await client.write(exportFacts(device.size, (flags & HandshakeFlag.NO_ZEROES) === 0));
        return agreed;
      case Option.ABORT:
        await reply(OptionReplyType.ACK);
        return undefined;
      case Option.LIST:
        if (length > 0) await reply(OptionReplyType.ERR_INVALID);
        else {
          await reply(OptionReplyType.SERVER, serverName(EXPORT_NAME));
          await reply(OptionReplyType.ACK);
        }
        break;
      case Option.STRUCTURED_REPLY:
        agreed.structured ||= length === 0;
        await reply(length > 0 ? OptionReplyType.ERR_INVALID : OptionReplyType.ACK);
        break;
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT: {
        const asked = read(data, contextRequest);
        const sets = option === Option.SET_META_CONTEXT;
        if (sets) agreed.allocation = false;
        if (!asked || !agreed.structured) await reply(OptionReplyType.ERR_INVALID);
        else if (asked.name !== EXPORT_NAME) await reply(OptionReplyType.ERR_UNKNOWN);
        else {
          const has = asksForAllocation(asked.queries, sets);
          if (has) await reply(OptionReplyType.META_CONTEXT, allocationContext());
          if (sets) agreed.allocation = has;
          await reply(OptionReplyType.ACK);
        }
        break;
      }
      case Option.INFO:
      case Option.GO: {
        const name = read(data, requestedName);
        if (name === undefined) await reply(OptionReplyType.ERR_INVALID);
        else if (name !== EXPORT_NAME) await reply(OptionReplyType.ERR_UNKNOWN);
        else {
          for (const info of exportInfos(device.size, blockSize)) {
            await reply(OptionReplyType.INFO, info);
          }
          await reply(OptionReplyType.ACK);
          if (option === Option.GO) return agreed;
        }
        break;
      }
      default:
        await reply(OptionReplyType.ERR_UNSUP);
    }
  }
};

/** What the data of an option say; undefined if that is nothing. */
const read = <T>(data: Buffer, parse: (data: Buffer) => T): T | undefined => {
  try {
    return parse(data);
  } catch (error) {
    if (error instanceof RafsError) return undefined;
    throw error;
  }
};

/** A listing may ask for all contexts, or for those of a namespace. */
const asksForAllocation = (queries: readonly string[], exactly: boolean): boolean =>
  queries.includes(ALLOCATION) || (!exactly && (queries.length === 0 || queries.includes('base:')));

const unknownExport = (name: string): RafsError =>
  new RafsError('UNSUPPORTED', `no export is named ${JSON.stringify(name.slice(0, 64))}`);

/** Answers requests until the client leaves. */
const answer = async (
  client: NbdConnection,
  options: NbdSessionOptions,
  { structured, allocation }: Agreed,
): Promise<void> => {
  for (;;) {
    const head = await client.take(Request.size);
    if (!head) return;
    const request = Request.decode(head);
    const { command, cookie, length } = request;
    const refuse = (error: number): Promise<void> => client.write(simpleReply(cookie, error));
    switch (command) {
      case Command.READ:
        await readData(client, options, request, structured);
        break;
      case Command.BLOCK_STATUS:
        if (allocation) await tellStatus(client, options, request);
        else await refuse(NbdError.EINVAL);
        break;
      case Command.DISC:
        return;
      case Command.WRITE:
        if (!(await client.skip(length))) return;
        await refuse(NbdError.EPERM);
        break;
      case Command.TRIM:
      case Command.WRITE_ZEROES:
        await refuse(NbdError.EPERM);
        break;
      default:
        await refuse(NbdError.EINVAL);
    }
  }
};

const readData = async (
  client: NbdConnection,
  { device, onReadError }: NbdSessionOptions,
  { cookie, flags, offsetHigh, offsetLow, length }: ValueOf<typeof Request>,
  structured: boolean,
): Promise<void> => {
  const refuse = (error: number, why: string): Promise<void> =>
    client.write(structured ? errorChunk(cookie, error, why) : simpleReply(cookie, error));
  const offset = offsetHigh * 2 ** 32 + offsetLow; // inexact beyond 2^53, larger than any device
  const end = offset + length;
  if (flags !== 0) return refuse(NbdError.EINVAL, 'flags that were not offered');
  if (length === 0) return refuse(NbdError.EINVAL, 'nothing to read');
  if (length > MOST_READ) return refuse(NbdError.EINVAL, `more than ${MOST_READ} bytes`);
  if (end > device.size) return refuse(NbdError.EINVAL, `beyond the end at ${device.size}`);

  for (let at = offset; at < end && !client.gone; at += PIECE_SIZE) {
    const size = Math.min(PIECE_SIZE, end - at);
    let bytes: Buffer;
    try {
      bytes = await device.read(at, size);
    } catch (error) {
      onReadError(error);
      // the simple reply has already announced success, which cannot be taken back
      if (!structured && at > offset) return client.destroy();
      return refuse(NbdError.EIO, 'this part cannot be read');
    }
    if (structured) {
      await client.write(dataChunk(cookie, at, size, at + size === end), bytes);
    } else if (at === offset) {
      await client.write(simpleReply(cookie, NbdError.NONE), bytes);
    } else {
      await client.write(bytes);
    }
  }
};

/** Most extents in a reply; a client asks again for what is left. */
const MOST_EXTENTS = 0x10000;

const tellStatus = async (
  client: NbdConnection,
  { device }: NbdSessionOptions,
  { cookie, flags, offsetHigh, offsetLow, length }: ValueOf<typeof Request>,
): Promise<void> => {
  const offset = offsetHigh * 2 ** 32 + offsetLow; // as for reads
  const isWithin = length > 0 && offset + length <= device.size;
  if ((flags & ~CommandFlag.REQ_ONE) !== 0 || !isWithin) {
    return client.write(errorChunk(cookie, NbdError.EINVAL, 'no such range, or unknown flags'));
  }
  const most = (flags & CommandFlag.REQ_ONE) === 0 ? MOST_EXTENTS : 1;
  return client.write(statusChunk(cookie, device.extents(offset, length).slice(0, most)));
};
