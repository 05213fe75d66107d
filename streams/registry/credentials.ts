/**
 * Who we are to a registry: from the files that `docker login` and `skopeo login` write, and from
 * the credential helpers that these name. Looked up once a registry asks.
 *
 * https://docs.docker.com/reference/cli/docker/login/
 */
import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import path from 'node:path';
import { RafsError } from '../../lib/errors.js';
import type { Environment } from '../../lib/config/environment-proxy.js';
import {
  credentialIn,
  helperAnswer,
  helperOf,
  helperServer,
  parseAuthFile,
  type Credential,
} from '../../lib/oci/auth-file.js';
import { readSmallFile } from '../io/small-file.js';

/** Finds what to show for a repository; undefined to go on without a name. */
export type FindCredential = (
  host: string,
  repository: string,
  signal: AbortSignal,
) => Promise<Credential | undefined>;

const HELPER_MS = 60_000;
/** Most bytes of a helper's answer. */
const HELPER_ANSWER = 0x10_0000;

/** The files in their order; the first that knows the registry counts. */
export const authFiles = (environment: Environment): string[] => {
  const { REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, DOCKER_CONFIG } = environment;
  if (REGISTRY_AUTH_FILE) return [REGISTRY_AUTH_FILE];
  const home = environment.HOME || homedir();
  return [
    ...(XDG_RUNTIME_DIR ? [path.join(XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
    path.join(XDG_CONFIG_HOME || path.join(home, '.config'), 'containers/auth.json'),
    path.join(DOCKER_CONFIG || path.join(home, '.docker'), 'config.json'),
  ];
};

export const findCredential =
  (environment: Environment = process.env): FindCredential =>
  async (host, repository, signal) => {
    for (const file of authFiles(environment)) {
      const bytes = await readAuthFile(file, file === environment.REGISTRY_AUTH_FILE);
      if (!bytes) continue;
      const found = parseAuthFile(bytes, file);
      const helper = helperOf(found, host);
      const credential =
        (helper === undefined ? undefined : await askHelper(helper, host, signal)) ??
        credentialIn(found, host, repository);
      if (credential) return credential;
    }
    return undefined;
  };

/** A file that was asked for by name must be there. */
const readAuthFile = async (file: string, required: boolean): Promise<Buffer | undefined> => {
  try {
    return await readSmallFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (!required && ['ENOENT', 'ENOTDIR', 'EACCES'].includes(code ?? '')) return undefined;
    throw new RafsError('UNSUPPORTED', 'cannot read the credentials', { file }, { cause });
  }
};

/** Runs `docker-credential-NAME get`; undefined if it does not know the registry. */
const askHelper = async (
  name: string,
  host: string,
  signal: AbortSignal,
): Promise<Credential | undefined> => {
  const program = `docker-credential-${name}`;
  const failed = (text: string, cause?: unknown): RafsError =>
    new RafsError('BACKEND', text, { helper: program, registry: host }, { cause });
  const { status, output } = await new Promise<{ status: number | null; output: Buffer }>(
    (resolve, reject) => {
      const child = spawn(program, ['get'], {
        stdio: ['pipe', 'pipe', 'ignore'],
        timeout: HELPER_MS,
        signal,
      });
      const pieces: Buffer[] = [];
      let size = 0;
      child.stdout.on('data', (piece: Buffer) => {
        size += piece.length;
        if (size > HELPER_ANSWER) child.kill();
        else pieces.push(piece);
      });
      child.stdin.on('error', () => undefined); // it may not read what it is told
      child.stdin.end(`${helperServer(host)}\n`);
      child.on('error', cause =>
        reject(signal.aborted ? cause : failed('the credential helper cannot be run', cause)),
      );
      child.on('close', code => resolve({ status: code, output: Buffer.concat(pieces) }));
    },
  );
  const answer = helperAnswer(output, status === 0);
  if (answer === 'unknown') return undefined;
  if (answer === 'invalid') throw failed('the credential helper failed');
  return answer;
};
