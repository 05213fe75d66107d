/**
 * Blobs from a web server, named by their ids below a path; or one blob from a server at a Unix
 * socket, where the path is always '/'.
 */
import type { HttpProxyBackend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';
import { HttpClient } from '../http/client.js';
import { RemoteStorage } from './remote-storage.js';
import { shown } from '../../lib/model/names.js';

export const httpProxy = ({ addr, path, http }: HttpProxyBackend): Storage => {
  const isSocket = addr.startsWith('/');
  const { proxy: _, ...direct } = http; // a socket is reached without a proxy
  const client = new HttpClient(
    isSocket ? { http: direct, socketPath: addr } : { http, host: new URL(addr).host },
  );
  return new RemoteStorage(client, ({ method, id, range, limit, signal }) => {
    const headers: Record<string, string> = {};
    if (range !== undefined) headers.range = range;
    else if (isSocket) headers.range = 'bytes=0-'; // as other clients of such servers send it
    const url = isSocket ? new URL('http://localhost/') : blobUrl(addr, path, id);
    return client.send({ method, url, headers, limit, signal });
  });
};

const blobUrl = (addr: string, path: string, id: string): URL => {
  const base = `${addr.replace(/\/+$/, '')}${path.replace(/\/+$/, '')}`;
  return new URL(`${base}/${encodeURIComponent(shown(id))}`);
};
