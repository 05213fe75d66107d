/**
 * Blobs from a web server, by their ids below a path; or one blob from a server at a socket, where
 * the address is always '/'.
 */
import type { HttpProxyBackend } from '../../lib/backend-config.js';
import type { Storage } from '../storage.js';
import { HttpClient } from './http-client.js';
import { RemoteStorage } from './remote-storage.js';

export const httpProxy = ({ addr, path, http }: HttpProxyBackend): Storage => {
  const isSocket = addr.startsWith('/');
  const { proxy: _, ...direct } = http; // there is none between us and a socket
  const client = new HttpClient(isSocket ? { http: direct, socketPath: addr } : { http });
  return new RemoteStorage(client, ({ method, id, range, limit, signal }) => {
    const headers: Record<string, string> = {};
    if (range !== undefined) headers.range = range;
    else if (isSocket) headers.range = 'bytes=0-'; // as clients of such servers have it
    const url = isSocket ? new URL('http://localhost/') : blobUrl(addr, path, id);
    return client.send({ method, url, headers, limit, signal });
  });
};

const blobUrl = (addr: string, path: string, id: string): URL => {
  const base = `${addr.replace(/\/+$/, '')}${path.replace(/\/+$/, '')}`;
  return new URL(`${base}/${encodeURIComponent(Buffer.from(id, 'latin1').toString('utf8'))}`);
};
