/** Servers that are not ours, on ports of this machine: a registry, and one of S3. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { closedPort } from './http.js';

interface Teardown {
  teardown(work: () => unknown): void;
}

const stopAfter = (t: Teardown, child: ChildProcess): void => {
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
};

export interface S3Objects {
  /** its files are the objects */
  directory: string;
  bucket: string;
  prefix: string;
  key: string;
  secret: string;
}

/** Starts a server that buildGo('s3-server') has built; its host. */
export const startS3 = async (
  t: Teardown,
  program: string,
  { directory, bucket, prefix, key, secret }: S3Objects,
): Promise<string> => {
  const child = spawn(program, [directory, bucket, prefix, key, secret], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  stopAfter(t, child);
  const [line] = (await once(child.stdout, 'data')) as [Buffer]; // one line is one write
  return line.toString().trim();
};

/** Why there is no registry; false if there is one. */
export const withoutRegistry = (): string | false =>
  spawnSync('docker-registry', ['--version']).status !== 0 && 'needs docker-registry';

/** Parts of its configuration, as JSON has them, which is YAML too. */
export interface RegistryParts {
  storage: object;
  auth?: object;
}

/** Starts a registry; its host, when it answers. */
export const startRegistry = async (t: Teardown, directory: string, parts: RegistryParts) => {
  const host = `127.0.0.1:${await closedPort()}`;
  const config = path.join(directory, `registry-${host}.yml`);
  fs.writeFileSync(
    config,
    JSON.stringify({ version: 0.1, log: { level: 'error' }, http: { addr: host }, ...parts }),
  );
  // what variables say of AWS, and of the registry itself, is not for this one
  const env = { PATH: process.env.PATH };
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore', env });
  stopAfter(t, child);
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer && [200, 401].includes(answer.status)) return host;
    if (tries === 200 || child.exitCode !== null) throw new Error('the registry does not start');
    await sleep(100);
  }
};

/** Pushes a blob into a repository that everybody may write to. */
export const pushBlob = async (host: string, repo: string, bytes: Buffer): Promise<void> => {
  const start = await fetch(`http://${host}/v2/${repo}/blobs/uploads/`, { method: 'POST' });
  const url = new URL(start.headers.get('location')!, `http://${host}`);
  url.searchParams.set('digest', `sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  const headers = { 'content-type': 'application/octet-stream' };
  const { status } = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) });
  if (status !== 201) throw new Error(`the registry refuses a blob: ${status}`);
};
