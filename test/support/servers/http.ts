/** Web servers on this machine that do as a test says, and what they were asked. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

interface Teardown {
  teardown(work: () => unknown): void;
}

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export interface Asked {
  method: string;
  url: string;
  headers: http.IncomingHttpHeaders;
}

export interface TestServer {
  /** `127.0.0.1:port` */
  host: string;
  url: string;
  asked: Asked[];
  /** may be replaced at any time */
  handler: Handler;
}

export interface ServeOptions {
  socketPath?: string;
  tls?: { key: Buffer; cert: Buffer };
}

/** Serves until the test ends. */
export const serve = async (
  t: Teardown,
  handler: Handler,
  { socketPath, tls }: ServeOptions = {},
): Promise<TestServer> => {
  const listener: Handler = (request, response) => {
    const { method = '', url = '', headers } = request;
    served.asked.push({ method, url, headers });
    served.handler(request, response);
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  server.listen(socketPath ?? { host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const host =
    socketPath === undefined ? `127.0.0.1:${(server.address() as AddressInfo).port}` : 'localhost'; // of a server that listens on TCP
  const served: TestServer = {
    host,
    url: `${tls ? 'https' : 'http'}://${host}`,
    asked: [],
    handler,
  };
  return served;
};

/** A port on which nobody listens. */
export const closedPort = async (): Promise<number> => {
  const server = http.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // as above
  server.close();
  await once(server, 'close');
  return port;
};

/** Serves bytes as a good server does: HEAD, GET, and ranges of the form `bytes=first-last`. */
export const sendBytes = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  bytes: Buffer | undefined,
): void => {
  if (!bytes) {
    response.writeHead(404, { 'content-length': 0 }).end();
    return;
  }
  const range = /^bytes=([0-9]+)-([0-9]*)$/.exec(request.headers.range ?? '');
  if (!range || request.method === 'HEAD') {
    response.writeHead(200, { 'content-length': bytes.length });
    response.end(request.method === 'HEAD' ? undefined : bytes);
    return;
  }
  const first = Number(range[1]);
  const last = Math.min(range[2] === '' ? Infinity : Number(range[2]), bytes.length - 1);
  if (first > last) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const piece = bytes.subarray(first, last + 1);
  response.writeHead(206, {
    'content-length': piece.length,
    'content-range': `bytes ${first}-${last}/${bytes.length}`,
  });
  response.end(piece);
};

/** Serves blobs by the last part of the path. */
export const blobHandler =
  (blobs: Readonly<Record<string, Buffer>>): Handler =>
  (request, response) => {
    const name = decodeURIComponent((request.url ?? '').split('?')[0]!.split('/').at(-1)!);
    sendBytes(request, response, blobs[name.replace(/^sha256:/, '')]);
  };

export interface Fault {
  what: string;
  /** how GET is answered; HEAD is answered as it should */
  handler: Handler;
  /** what is said of it */
  text: RegExp;
  /** it may pass, so that it is tried again */
  passing?: true;
}

const status =
  (code: number): Handler =>
  (_request, response) => {
    response.writeHead(code).end('<html>no</html>');
  };

/** What servers do instead of answering. */
export const FAULTS: readonly Fault[] = [
  { what: '401', handler: status(401), text: /answers 401 Unauthorized/ },
  { what: '403', handler: status(403), text: /answers 403 Forbidden/ },
  { what: '404', handler: status(404), text: /answers 404 Not Found/ },
  { what: '416', handler: status(416), text: /answers 416 Range Not Satisfiable/ },
  { what: '429', handler: status(429), text: /answers 429 Too Many Requests/, passing: true },
  { what: '500', handler: status(500), text: /answers 500 Internal/, passing: true },
  { what: '503', handler: status(503), text: /answers 503 Service/, passing: true },
  {
    what: 'half a body',
    handler(_request, response) {
      response.writeHead(206, { 'content-length': 1000 });
      response.write(Buffer.alloc(500), () => response.destroy());
    },
    text: /status 206 was cut off/,
    passing: true,
  },
  {
    what: 'nothing in it',
    handler(_request, response) {
      response.writeHead(206, { 'content-length': 0 }).end();
    },
    text: /expected [0-9]+ bytes, got 0/,
    passing: true,
  },
  {
    what: 'other bytes',
    handler(_request, response) {
      response.writeHead(206, { 'content-range': 'bytes 77777777-77777778/*' }).end('ab');
    },
    text: /expected bytes at [0-9]+, got 77777777/,
    passing: true,
  },
  {
    what: 'too much',
    handler(_request, response) {
      response.writeHead(200, { 'content-length': 0x1000_0000 });
      response.write(Buffer.alloc(0x80_0000));
    },
    text: /the server ignored the Range header: expected [0-9]+ bytes, got 268435456/,
  },
  {
    what: 'a connection that closes',
    handler: request => request.socket.destroy(),
    text: /the server did not respond/,
    passing: true,
  },
  { what: 'never', handler: () => undefined, text: /the server did not respond/, passing: true },
  {
    what: 'a head, and then nothing',
    handler(_request, response) {
      response.writeHead(206, { 'content-length': 1000 });
      response.write('a');
    },
    text: /status 206 was cut off/,
    passing: true,
  },
];
