/** Certificates for servers of tests. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** A certificate of our own for 127.0.0.1. */
export const selfSigned = (directory: string): { key: Buffer; cert: Buffer; file: string } => {
  const at = (name: string): string => path.join(directory, name);
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const argv = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject];
  execFileSync('openssl', [...argv, '-keyout', at('key'), '-out', at('cert')], { stdio: 'ignore' });
  return { key: fs.readFileSync(at('key')), cert: fs.readFileSync(at('cert')), file: at('cert') };
};

/** Why no certificate can be made here. */
export const lacksOpenssl = spawnSync('openssl', ['version']).status !== 0 && 'needs openssl';
