/** A client that speaks NBD byte by byte, also wrongly; of its own, without the records of lib. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};

/** An option of the handshake. */
export const option = (number: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), u32(number), u32(data.length), data]);

/** Data of INFO and GO. */
export const nameData = (name: string): Buffer =>
  Buffer.concat([u32(Buffer.byteLength(name)), Buffer.from(name), u16(0)]);

export const request = (command: number, offset: bigint, length: number, flags = 0): Buffer =>
  Buffer.concat([
    Buffer.from('25609513', 'hex'),
    u16(flags),
    u16(command),
    COOKIE,
    u64(offset),
    u32(length),
  ]);

const COOKIE = Buffer.from('cookies!');

export class NbdClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined); // the other side may leave
  }

  static async connect(path: string): Promise<NbdClient> {
    const socket = connect({ path });
    await once(socket, 'connect');
    return new NbdClient(socket);
  }

  send(...pieces: Buffer[]): void {
    this.socket.write(Buffer.concat(pieces));
  }

  /** Exactly so many bytes; fails when the server leaves before. */
  async take(size: number): Promise<Buffer> {
    while (this.#received.length < size) {
      if (!(await this.#more())) throw new Error(`${this.#received.length} bytes of ${size}`);
    }
    const taken = this.#received.subarray(0, size);
    this.#received = this.#received.subarray(size);
    return taken;
  }

  /** All that comes until the server leaves. */
  async rest(): Promise<Buffer> {
    while (await this.#more());
    return this.#received;
  }

  async #more(): Promise<boolean> {
    if (this.#ended || this.socket.destroyed) return false;
    return new Promise(resolve => {
      const done = (more: boolean): void => {
        for (const name of ['data', 'end', 'close']) this.socket.removeAllListeners(name);
        this.socket.pause();
        resolve(more);
      };
      this.socket.once('data', (bytes: Buffer) => {
        this.#received = Buffer.concat([this.#received, bytes]);
        done(true);
      });
      this.socket.once('end', () => {
        this.#ended = true;
        done(false);
      });
      this.socket.once('close', () => done(false));
      this.socket.resume();
    });
  }

  /** The reply to an option: its type and data. */
  async optionReply(): Promise<{ option: number; type: number; data: Buffer }> {
    const head = await this.take(20);
    if (head.toString('hex', 0, 8) !== '0003e889045565a9') throw new Error(head.toString('hex'));
    const data = await this.take(head.readUInt32BE(16));
    return { option: head.readUInt32BE(8), type: head.readUInt32BE(12), data };
  }

  /** From the first byte to where requests may be sent; resolves to the size of the device. */
  async go({ structured }: { structured: boolean }): Promise<number> {
    const greeting = await this.take(18);
    if (greeting.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error('no greeting');
    this.send(u32(3));
    if (structured) {
      this.send(option(8));
      if ((await this.optionReply()).type !== 1) throw new Error('no structured replies');
    }
    this.send(option(7, nameData('')));
    let size = -1;
    for (;;) {
      const { type, data } = await this.optionReply();
      if (type === 1) return size;
      if (type !== 3) throw new Error(`reply ${type}`);
      if (data.readUInt16BE(0) === 0) size = Number(data.readBigUInt64BE(2));
    }
  }

  /** The reply to a request: its error, and the bytes for a read of `length`. */
  async simpleReply(length: number): Promise<{ error: number; bytes: Buffer }> {
    const head = await this.take(16);
    if (head.toString('hex', 0, 4) !== '67446698') throw new Error(head.toString('hex'));
    if (!head.subarray(8).equals(COOKIE)) throw new Error('another cookie');
    const error = head.readUInt32BE(4);
    return { error, bytes: await this.take(error ? 0 : length) };
  }

  /** The structured reply to a read from `offset`. */
  async structuredReply(offset: number): Promise<{ error: number; bytes: Buffer }> {
    const pieces: Buffer[] = [];
    let at = offset;
    let error = 0;
    for (;;) {
      const head = await this.take(20);
      if (head.toString('hex', 0, 4) !== '668e33ef') throw new Error(head.toString('hex'));
      if (!head.subarray(8, 16).equals(COOKIE)) throw new Error('another cookie');
      const content = await this.take(head.readUInt32BE(16));
      const type = head.readUInt16BE(6);
      if (type === 1) {
        if (Number(content.readBigUInt64BE(0)) !== at) throw new Error('another place');
        pieces.push(content.subarray(8));
        at += content.length - 8;
      } else if (type === 0x8001) error = content.readUInt32BE(0);
      else throw new Error(`chunk of type ${type}`);
      if (head.readUInt16BE(4) & 1) return { error, bytes: Buffer.concat(pieces) };
    }
  }
}
