/**
 * Certificates for one registry, as Docker and skopeo keep them: in a folder `certs.d/HOST:PORT`,
 * `*.crt` are authorities to trust, `*.cert` and `*.key` the pair to show.
 *
 * https://docs.docker.com/engine/security/certificates/
 */
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Environment } from '../../lib/config/environment-proxy.js';
import { RafsError } from '../../lib/errors.js';
import type { ClientCertificate } from '../http/connections.js';

export interface HostCertificates {
  caCertFiles: string[];
  clientCertificate?: ClientCertificate;
}

/** Where the folders are; the first that has one for the registry counts. */
export const certificateFolders = (environment: Environment): string[] => {
  const home = environment.HOME || homedir();
  return [
    path.join(environment.XDG_CONFIG_HOME || path.join(home, '.config'), 'containers/certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ];
};

export const findCertificates = async (
  host: string,
  folders: readonly string[] = certificateFolders(process.env),
): Promise<HostCertificates> => {
  for (const parent of folders) {
    const folder = path.join(parent, host);
    const names = await namesIn(folder);
    if (!names) continue;
    const at = (name: string): string => path.join(folder, name);
    const caCertFiles = names.filter(name => name.endsWith('.crt')).map(at);
    const certificates = names.filter(name => name.endsWith('.cert'));
    for (const name of names.filter(name => name.endsWith('.key'))) {
      if (!certificates.includes(name.replace(/key$/, 'cert'))) {
        throw new RafsError('UNSUPPORTED', 'a key has no certificate', { file: at(name) });
      }
    }
    const [first] = certificates;
    if (first === undefined) return { caCertFiles };
    const key = first.replace(/cert$/, 'key');
    if (!names.includes(key)) {
      throw new RafsError('UNSUPPORTED', 'a certificate has no key', { file: at(first) });
    }
    return { caCertFiles, clientCertificate: { certFile: at(first), keyFile: at(key) } };
  }
  return { caCertFiles: [] };
};

const namesIn = async (folder: string): Promise<string[] | undefined> => {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(code ?? '')) return undefined;
    throw new RafsError('UNSUPPORTED', 'cannot read certificates', { folder }, { cause });
  }
};
