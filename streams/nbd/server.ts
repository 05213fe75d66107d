/**
 * NBD server for one read-only device, for any number of clients, at most 64 at a time. At most
 * 1 MiB is in flight to each.
 */
import { existsSync } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { RafsError } from '../../lib/errors.js';
import { serveNbd, type NbdSessionOptions } from './session.js';

export interface NbdServerOptions extends NbdSessionOptions {
  /** called when a client violates the protocol */
  onClientError: (error: unknown) => void;
}

const MOST_CLIENTS = 64;

/** The path of a Unix socket, or a TCP port on 127.0.0.1; 0 picks a free one. */
export type NbdAddress = { socket: string } | { port: number };

export interface NbdServer {
  /** Starts; resolves to the URI for clients. */
  listen(address: NbdAddress): Promise<string>;
  /** Removes the socket and ends all connections; resolves when nothing reads the device. */
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
      server.on('error', options.onClientError); // a client that could not be accepted
      if ('socket' in address) return `nbd+unix:///?socket=${queryOf(address.socket)}`;
      return `nbd://${LOCAL}:${(server.address() as AddressInfo).port}`; // not a path
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
/** Longer paths do not fit the system's socket address. */
const MOST_SOCKET_PATH = 107;

/** Removes the socket of a server that is gone; one that answers stays, and so does a file. */
const makeWay = async (path: string): Promise<void> => {
  const size = Buffer.byteLength(path);
  if (size > MOST_SOCKET_PATH) {
    throw new RafsError(
      'LIMIT',
      `a socket path of ${size} bytes exceeds the limit of ${MOST_SOCKET_PATH}`,
    );
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
