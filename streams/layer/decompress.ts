/** How a layer may be compressed: the one list of formats, what they look like and who reads them. */
import type { Duplex } from 'node:stream';
import { RafsError, type ErrorContext } from '../../lib/errors.js';
import type { BufferPool } from '../../lib/memory/buffer-pool.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { gunzip } from './gunzip.js';
import { unzstd } from './unzstd.js';

export interface Pools {
  /** of the source's buffers */
  reads?: BufferPool | undefined;
  /** for the plain bytes */
  pieces?: BufferPool | undefined;
}

interface Format {
  /** ways to begin, in hex; a dot stands for any digit */
  readonly magics: readonly string[];
  /** Makes the stage that decompresses it; without one, the format is refused by its name. */
  readonly stage?: (pools?: Pools) => Duplex;
  /** of such a layer in an image */
  readonly mediaType?: string;
  /** the command that unpacks what is not read here, if it can be a stream of bytes */
  readonly unpacker?: string;
}

const FORMATS = {
  gzip: {
    magics: ['1f8b08'],
    stage: gunzip,
    mediaType: MediaType.LAYER_GZIP,
  },
  zstd: {
    // the second is a skippable frame: seekable and signed streams begin with one
    magics: ['28b52ffd', '5.2a4d18'],
    stage: unzstd,
    mediaType: MediaType.LAYER_ZSTD,
  },
  xz: { magics: ['fd377a585a00'], unpacker: 'xz -dc' },
  bzip2: { magics: ['425a683.314159265359', '425a683.177245385090'], unpacker: 'bzip2 -dc' },
  lz4: { magics: ['04224d18'], unpacker: 'lz4 -dc' },
  zip: { magics: ['504b0304', '504b0506'] },
  '7z': { magics: ['377abcaf271c'] },
} as const satisfies Readonly<Record<string, Format>>;

type FormatName = keyof typeof FORMATS;

type Supported = {
  [Name in FormatName]: (typeof FORMATS)[Name] extends { stage: unknown } ? Name : never;
}[FormatName];

/** How a source is compressed that can be read. */
export type Compression = 'none' | Supported;

const NAMES = Object.keys(FORMATS) as readonly FormatName[]; // our own keys

const isSupported = (name: FormatName): name is Supported => 'stage' in FORMATS[name];

const MATCHERS = NAMES.map(
  name => [name, new RegExp(`^(?:${FORMATS[name].magics.join('|')})`)] as const,
);

/** How many bytes `sniff` looks at. */
export const SNIFFED_SIZE = Math.max(
  ...NAMES.flatMap(name => FORMATS[name].magics.map(magic => magic.length / 2)),
);

const formatOf = (head: Buffer): FormatName | undefined => {
  const hex = head.toString('hex', 0, SNIFFED_SIZE);
  return MATCHERS.find(([, matcher]) => matcher.test(hex))?.[0];
};

/** Whether a source that begins like this is in none of the known formats. */
export const isPlain = (head: Buffer): boolean => formatOf(head) === undefined;

/**
 * Decides by the first SNIFFED_SIZE bytes of a source, or fewer if it has no more. UNSUPPORTED for
 * formats that are known and not read.
 */
export const sniff = (head: Buffer, at: ErrorContext = {}): Compression => {
  const name = formatOf(head);
  if (name === undefined) return 'none';
  if (isSupported(name)) return name;
  const readable = NAMES.filter(isSupported).join(' or ');
  const { unpacker }: Format = FORMATS[name];
  const instead = unpacker ? `pipe it through \`${unpacker}\`` : 'unpack it and make a tar of it';
  throw new RafsError(
    'UNSUPPORTED',
    `the source is in ${name} format; expected a tar, plain or compressed with ${readable}: ${instead}`,
    at,
  );
};

/** The stages that give the plain bytes of a source. */
export const decompress = (compression: Compression, pools?: Pools): Duplex[] =>
  compression === 'none' ? [] : [FORMATS[compression].stage(pools)];

/** The media type of a layer in an image. */
export const layerType = (compression: Compression): string =>
  compression === 'none' ? MediaType.LAYER : FORMATS[compression].mediaType;
