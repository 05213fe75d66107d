/**
 * NBD server of one device that is read only, for any number of clients one after another and 64 at
 * once. At most 1 MiB is on its way to each.
 */
import { existsSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { RafsError } from '../lib/errors.js';
import { serveNbd, type NbdSessionOptions } from './nbd-session.js';

export interface NbdServerOptions extends NbdSessionOptions {
  /** is told what a client did that is not the protocol */
  onClientError: (error: unknown) => void;
}

const MOST_CLIENTS = 64;

/** A path on the system, or a port of this machine alone; 0 takes one that is free. */
export type NbdAddress = { socket: string } | { port: number };

export interface NbdServer {
  /** Starts; resolves to the URI for clients. */
  listen(address: NbdAddress): Promise<string>;
  /** Takes the socket away and ends all connections; resolves when nothing reads the device. */
  close(): Promise<void>;
}

export const nbdServer = (options: NbdServerOptions): NbdServer => {
  const sockets = new Set<Socket>();
  const sessions = new Set<Promise<void>>();
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    const session = serveNbd(socket, options)
      .catch(options.onClientError)
      .finally(() => sessions.delete(session));
    sessions.add(session);
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
      const closed = server.listening && new Promise(resolve => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await Promise.all(sessions);
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
