/** Turns a bootstrap and its blobs back into a tar. */
import { readFileSync } from 'node:fs';
import { RafsError } from '../../lib/errors.js';
import {
  givenLocation,
  type BackendValues,
  type BlobLocation,
} from '../../streams/image/blob-location.js';
import { refuseExternal } from '../../streams/image/open-blobs.js';
import type { Image } from '../../streams/image/read-image.js';
import { unpackImage } from '../../streams/image/unpack-image.js';
import type { Run } from '../cli/context.js';
import type { CommandIo } from '../console/text-buffer.js';

export interface UnpackOptions {
  /** a bootstrap, or a blob with one inlined */
  bootstrap: string;
  /** one file from which every blob is read */
  blob?: string | undefined;
  blobDir?: string | undefined;
  config?: string | undefined;
  /** a storage, instead of a directory or configuration */
  backend?: BackendValues;
  /** file, FIFO, or '/dev/stdout' */
  output: string;
  /** put a '/' before the targets of hardlinks, as nydus-image does; default: true */
  slashedLinks?: boolean;
}

export const run: Run<'unpack'> = ({ values, positionals }, context) => {
  const bootstrap = values.bootstrap ?? positionals[0]!; // the parser requires one of them
  const { blob, 'blob-dir': blobDir, output } = values;
  return unpack({ bootstrap, blob, blobDir, backend: values, output }, context);
};

export const unpack = async (
  options: UnpackOptions,
  { log, signal, fsync }: CommandIo & { signal?: AbortSignal; fsync?: boolean },
): Promise<void> => {
  const { bootstrap, output, slashedLinks } = options;
  if (output === '') throw new RafsError('UNSUPPORTED', 'invalid empty --output option');
  await unpackImage(bootstrap, {
    output,
    blobs: image => blobLocation(options, image),
    names: hostNames(),
    slashedLinks,
    log,
    signal,
    fsync,
  });
};

const blobLocation = async (
  { blob, blobDir, config, backend }: UnpackOptions,
  image: Image,
): Promise<BlobLocation> => {
  const own = image.inlined ? { blobFile: image.path } : undefined;
  const place =
    blob === undefined
      ? ((await givenLocation({ backend, blobDir, config })) ?? own)
      : { blobFile: blob };
  if (!place) {
    throw new RafsError(
      'UNSUPPORTED',
      'invalid backend configuration, --blob, --blob-dir or --backend-type must be specified',
    );
  }
  refuseExternal(image, place, '--blob or --blob-dir');
  return place;
};

/** Names of users and groups on this machine; '' for ids it does not know. */
const hostNames = () => {
  const users = namesIn('/etc/passwd');
  const groups = namesIn('/etc/group');
  return {
    user: (uid: number): string => users.get(uid) ?? '',
    group: (gid: number): string => groups.get(gid) ?? '',
  };
};

/** Names by id, from lines of `name:password:id:…`; the first name of an id counts. */
const namesIn = (path: string): Map<number, string> => {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    return names; // a machine without the file knows no names
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id && /^[0-9]+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
};
