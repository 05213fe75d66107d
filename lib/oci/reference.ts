/**
 * References of images, as Docker and its kin read them: `app`, `user/app:1`,
 * `registry.example:5000/app@sha256:…`.
 *
 * https://pkg.go.dev/github.com/distribution/reference
 */
import { RafsError } from '../errors.js';
import { parseDigest } from './descriptor.js';

export interface Reference {
  /** as it is written: `docker.io`, `localhost:5000` */
  host: string;
  /** `library/app` */
  repository: string;
  tag?: string;
  digest?: string;
}

const DEFAULT_HOST = 'docker.io';
const OLD_DEFAULT_HOST = 'index.docker.io';
/** Where the API of the default host is. */
const DEFAULT_SERVER = 'registry-1.docker.io';
const DEFAULT_TAG = 'latest';

const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}$/;
const MOST_NAME = 255;

/** Parses a reference; without a host it is one of Docker Hub. */
export const parseReference = (text: string): Reference => {
  const refuse = (why: string): RafsError =>
    new RafsError('USAGE', `invalid image reference '${text}': ${why}`);
  if (text === '') throw new RafsError('USAGE', 'the image reference is empty');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  const name = hasTag ? named.slice(0, colon) : named;

  if (tag !== undefined && !TAG.test(tag)) throw refuse(`invalid tag '${tag}'`);
  if (digest !== undefined) {
    try {
      parseDigest(digest);
    } catch (error) {
      throw refuse((error as Error).message); // a RafsError
    }
  }
  if (/^[0-9a-f]{64}$/.test(name)) throw refuse('it looks like an image id');
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = /[.:A-Z]/.test(first) || first === 'localhost';
  const given = isHost ? first : DEFAULT_HOST;
  if (!HOST.test(given)) throw refuse(`invalid host '${given}'`);
  const port = /:([0-9]+)$/.exec(given)?.[1];
  if (port !== undefined && Number(port) > 65_535) throw refuse(`invalid port ${port}`);
  const host = given === OLD_DEFAULT_HOST ? DEFAULT_HOST : given;
  const path = isHost ? name.slice(slash + 1) : name;
  const repository = host === DEFAULT_HOST && !path.includes('/') ? `library/${path}` : path;
  if (path === '') throw refuse('the repository is missing');
  if (repository !== repository.toLowerCase()) throw refuse('the repository must be lowercase');
  if (!repository.split('/').every(component => COMPONENT.test(component))) {
    throw refuse(`invalid repository '${path}'`);
  }
  if (host.length + 1 + repository.length > MOST_NAME) {
    throw refuse(`the name is longer than ${MOST_NAME} characters`);
  }
  return {
    host,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
};

/** `host/repository:tag@digest`, in full; what is neither tagged nor pinned is `latest`. */
export const formatReference = ({ host, repository, tag, digest }: Reference): string => {
  const label = tag ?? (digest === undefined ? DEFAULT_TAG : undefined);
  const pinned = digest === undefined ? '' : `@${digest}`;
  return `${host}/${repository}${label === undefined ? '' : `:${label}`}${pinned}`;
};

/** What to ask a registry for: the digest if there is one, else the tag. */
export const manifestName = ({ tag, digest }: Pick<Reference, 'tag' | 'digest'>): string =>
  digest ?? tag ?? DEFAULT_TAG;

/** The server that holds the images of a host. */
export const serverOf = (host: string): string => (host === DEFAULT_HOST ? DEFAULT_SERVER : host);
