/**
 * NBD server of one device that is read only, for any number of clients one after another and 64 at
 * once. Each is answered in the order of its requests; at most 1 MiB is on its way to each.
 *
 * Whatever a client sends, the worst that happens is that it is left alone.
 */
import { existsSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ByteQueue } from '../lib/bytes.js';
import { RafsError } from '../lib/errors.js';
import {
  ClientFlags,
  Command,
  Greeting,
  HandshakeFlag,
  NbdError,
  Option,
  OptionReplyType,
  OptionRequest,
  Request,
} from '../lib/layout/nbd.js';
import {
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
} from '../lib/nbd.js';
import type { ValueOf } from '../lib/struct.js';
import type { BlockDevice } from './block-reader.js';

export interface NbdServerOptions {
  device: BlockDevice;
  /** in which reads are best */
  blockSize: number;
  /** is told when the device cannot be read */
  onReadError: (error: unknown) => void;
  /** is told what a client did that is not the protocol */
  onClientError: (error: unknown) => void;
}

const MOST_CLIENTS = 64;
/** For the handshake; after it a client may be silent as long as it likes. */
const HANDSHAKE_MS = 30_000;
/** Data of an option: much more than the longest name and every kind of information. */
const MOST_OPTION = 0x10000;
const PIECE_SIZE = 0x100000;

/** A path on the system, or a port of this machine alone; 0 takes one that is free. */
export type NbdAddress = { socket: string } | { port: number };

export interface NbdServer {
  /** Starts; resolves to the URI for clients. */
  listen(address: NbdAddress): Promise<string>;
  /** Ends all connections, and takes the socket away. */
  close(): Promise<void>;
}

export const nbdServer = (options: NbdServerOptions): NbdServer => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    serve(socket, options).catch(options.onClientError);
  });
  server.maxConnections = MOST_CLIENTS;
  return {
    async listen(address) {
      if ('socket' in address) await makeWay(address.socket);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.once('listening', resolve);
        server.listen(
          'socket' in address
            ? { path: address.socket }
            : { host: LOCAL, port: address.port, exclusive: true },
        );
      });
      server.on('error', options.onClientError); // of one that could not be let in
      if ('socket' in address) return `nbd+unix:///?socket=${queryOf(address.socket)}`;
      return `nbd://${LOCAL}:${(server.address() as AddressInfo).port}`; // it is no path
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      if (server.listening) await new Promise(resolve => server.close(resolve));
    },
  };
};

const queryOf = (path: string): string => encodeURIComponent(path).replaceAll('%2F', '/');

const LOCAL = '127.0.0.1';
/** Longer ones do not fit the system's address. */
const MOST_SOCKET_PATH = 107;

/** Takes away the socket of a server that is gone; one that answers stays, and so does a file. */
const makeWay = async (path: string): Promise<void> => {
  const size = Buffer.byteLength(path);
  if (size > MOST_SOCKET_PATH) {
    throw new RafsError('LIMIT', `a socket path of ${size} bytes, over ${MOST_SOCKET_PATH}`);
  }
  if (existsSync(path) && (await isAbandoned(path))) await unlink(path);
};

const isAbandoned = async (path: string): Promise<boolean> => {
  if (!(await lstat(path)).isSocket()) return false;
  return new Promise(resolve => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', error => resolve('code' in error && error.code === 'ECONNREFUSED'));
  });
};

/** Serves one client to its end; rejects where it breaks the protocol. The stream is destroyed. */
export const serve = async (stream: Duplex, options: NbdServerOptions): Promise<void> => {
  const client = new Client(stream);
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
}

/** Undefined where the client leaves instead. */
const shakeHands = async (
  client: Client,
  { device, blockSize }: NbdServerOptions,
): Promise<Agreed | undefined> => {
  const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;
  await client.write(Greeting.encode({ flags: known }));
  const first = await client.take(ClientFlags.size);
  if (!first) return undefined;
  const { flags } = ClientFlags.decode(first);
  if ((flags & ~known) !== 0) {
    throw new RafsError('UNSUPPORTED', `client flags 0x${flags.toString(16)}`);
  }
  const agreed: Agreed = { structured: false };
  for (;;) {
    const head = await client.take(OptionRequest.size);
    if (!head) return undefined;
    const { option, length } = OptionRequest.decode(head);
    if (length > MOST_OPTION) throw new RafsError('LIMIT', `an option of ${length} bytes`);
    const data = await client.take(length);
    if (!data) return undefined;
    const reply = (type: number, content?: Buffer): Promise<void> =>
      client.write(optionReply(option, type, content));
    switch (option) {
      case Option.EXPORT_NAME:
        // there is no way to refuse but to leave
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
      case Option.INFO:
      case Option.GO: {
        const name = nameIn(data);
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

const nameIn = (data: Buffer): string | undefined => {
  try {
    return requestedName(data);
  } catch (error) {
    if (error instanceof RafsError) return undefined;
    throw error;
  }
};

const unknownExport = (name: string): RafsError =>
  new RafsError('UNSUPPORTED', `no export is named ${JSON.stringify(name.slice(0, 64))}`);

/** Answers requests until the client leaves. */
const answer = async (
  client: Client,
  options: NbdServerOptions,
  { structured }: Agreed,
): Promise<void> => {
  for (;;) {
    const head = await client.take(Request.size);
    if (!head) return;
    const request = Request.decode(head);
    const { command, cookie, length } = request;
    const refuse = (error: number): Promise<void> => client.write(simpleReply(cookie, error));
    switch (command) {
      case Command.READ:
        await read(client, options, request, structured);
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

const read = async (
  client: Client,
  { device, onReadError }: NbdServerOptions,
  { cookie, flags, offsetHigh, offsetLow, length }: ValueOf<typeof Request>,
  structured: boolean,
): Promise<void> => {
  const refuse = (error: number, why: string): Promise<void> =>
    client.write(structured ? errorChunk(cookie, error, why) : simpleReply(cookie, error));
  const offset = offsetHigh * 2 ** 32 + offsetLow; // rounded beyond 2^53, where no device reaches
  const end = offset + length;
  if (flags !== 0) return refuse(NbdError.EINVAL, 'flags that were not offered');
  if (length === 0) return refuse(NbdError.EINVAL, 'nothing to read');
  if (length > MOST_READ) return refuse(NbdError.EINVAL, `more than ${MOST_READ} bytes`);
  if (end > device.size) return refuse(NbdError.EINVAL, `beyond the end at ${device.size}`);

  for (let at = offset; at < end; at += PIECE_SIZE) {
    const size = Math.min(PIECE_SIZE, end - at);
    let bytes: Buffer;
    try {
      bytes = await device.read(at, size);
    } catch (error) {
      onReadError(error);
      // the simple reply has begun with a success: it cannot be taken back
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

/** A connection: bytes are read only when they are waited for, and written at the client's pace. */
class Client {
  readonly #stream: Duplex;
  readonly #queue = new ByteQueue();
  readonly #pieces: AsyncIterator<Buffer>;
  #room: (() => void) | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const wake = (): void => this.#room?.();
    stream.on('error', () => undefined); // reading and writing see the end
    stream.on('drain', wake);
    stream.on('close', wake);
  }

  /** Exactly `size` bytes; undefined where the client ends before. */
  async take(size: number): Promise<Buffer | undefined> {
    while (this.#queue.length < size) if (!(await this.#more())) return undefined;
    return this.#queue.take(size);
  }

  /** Lets `size` bytes pass, without holding them; false where the client ends before. */
  async skip(size: number): Promise<boolean> {
    for (let left = size; left > 0;) {
      if (this.#queue.length === 0 && !(await this.#more())) return false;
      left -= this.#queue.takeSome(left).length;
    }
    return true;
  }

  async #more(): Promise<boolean> {
    if (this.#stream.destroyed) return false;
    // a connection that breaks, or is cut by us, has ended
    const next = await this.#pieces.next().catch(() => undefined);
    if (!next || next.done) return false;
    this.#queue.push(next.value);
    return true;
  }

  /** Resolves when there is room for more, or when nobody will read it. */
  async write(...pieces: Buffer[]): Promise<void> {
    const stream = this.#stream;
    let room = true;
    stream.cork();
    for (const piece of pieces) if (!stream.destroyed) room = stream.write(piece);
    stream.uncork();
    if (room || stream.destroyed) return;
    await new Promise<void>(resolve => (this.#room = resolve));
    this.#room = undefined;
  }

  /** Lets the client have what was written, unless it is gone. */
  async end(): Promise<void> {
    if (this.#stream.destroyed) return;
    await new Promise<void>(resolve => {
      this.#stream.once('close', resolve);
      this.#stream.end(resolve);
    });
  }

  destroy(): void {
    this.#stream.destroy();
  }
}
