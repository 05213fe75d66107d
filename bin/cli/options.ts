/**
 * The options of all commands: names, short forms, hidden aliases, defaults, values, and which of
 * them go together. Parser, help and the types of what commands receive all derive from these
 * tables, so a default or a name is written once.
 */
import { TYPE_NAMES } from '../../lib/config/conversions.js';

/** A whole number; both limits are inclusive. The texts follow the value in an error message. */
export interface NumberRule {
  readonly low: number;
  readonly high: number;
  readonly malformed: (text: string) => string;
  readonly outside: (value: number) => string;
}

export interface OptionRow {
  readonly about: string;
  readonly short?: string;
  /** other long names: accepted, never shown */
  readonly aliases?: readonly string[];
  /** accepted, never shown */
  readonly hidden?: true;
  /** takes no value */
  readonly flag?: true;
  /** a value of several items, separated by commas */
  readonly list?: true;
  readonly number?: NumberRule;
  readonly values?: readonly string[];
  readonly default?: string;
  /** shown for a default that is determined when it is needed */
  readonly defaultText?: string;
  readonly required?: true;
  /** must be given unless one of these is */
  readonly requiredUnless?: readonly string[];
  /** must be given if that option was given with one of these values */
  readonly requiredIf?: readonly [option: string, values: readonly string[]];
  /** holds in both directions, whichever of the two lists it */
  readonly conflicts?: readonly string[];
  readonly requires?: readonly string[];
}

export interface PositionalRow {
  readonly name: string;
  readonly about: string;
  /** one or more */
  readonly many?: true;
  /** there are two, and this is the other one's name */
  readonly second?: string;
  readonly required?: true;
  readonly requiredUnless?: readonly string[];
  readonly conflicts?: readonly string[];
}

export interface CommandRow {
  readonly about: string;
  readonly positional?: PositionalRow;
  readonly options: Readonly<Record<string, OptionRow>>;
}

/** Accepted before and after the command. */
export const GLOBALS = {
  'log-file': { short: 'L', about: 'Append log records to this file instead of stderr' },
  'log-level': {
    short: 'l',
    values: ['trace', 'debug', 'info', 'warn', 'error'],
    default: 'info',
    about: 'Lowest level of log records that are written',
  },
  progress: {
    values: ['auto', 'bar', 'json', 'none'],
    default: 'auto',
    about:
      'Show progress on stderr: a bar, lines of JSON, or nothing; auto is a bar on a terminal ' +
      'and nothing elsewhere',
  },
  help: { short: 'h', flag: true, about: 'Print this help' },
} as const satisfies Readonly<Record<string, OptionRow>>;

/** Only without a command. */
export const ROOT = {
  ...GLOBALS,
  version: { short: 'V', flag: true, about: 'Print version and build' },
} as const satisfies Readonly<Record<string, OptionRow>>;

const CONFIG = { short: 'C', about: 'File with the storage configuration' } as const;
const CHUNK_DICT = {
  about: 'Bootstrap whose chunks need not be stored again, as PATH or bootstrap=PATH',
} as const;
const PREFETCH_POLICY = {
  values: ['fs', 'blob', 'none'],
  default: 'none',
  about:
    'How files are marked for prefetching: in the bootstrap, in the blob, or not at all. With fs ' +
    'and blob their absolute paths are read from stdin, one a line',
} as const;
const OUTPUT_JSON = { short: 'J', about: 'Write the result as JSON to this file' } as const;

const BACKEND = {
  'backend-type': {
    values: ['oss', 's3', 'registry', 'localdisk', 'http-proxy'],
    about: 'Storage that the blobs are read from',
  },
  'backend-config': {
    conflicts: ['backend-config-file'],
    about: 'Configuration of that storage, as JSON',
  },
  'backend-config-file': { about: 'File with the configuration of that storage, as JSON' },
} as const;

const BOOTSTRAP_ARGUMENT = {
  name: 'BOOTSTRAP',
  about: 'Bootstrap, or a blob with a bootstrap in it',
  requiredUnless: ['bootstrap'],
  conflicts: ['bootstrap'],
} as const;
const BOOTSTRAP_OPTION = { short: 'B', about: 'The same as BOOTSTRAP, as an option' } as const;

const LOOKUP = {
  'blob-dir': { short: 'D', conflicts: ['config'], about: 'Directory with the blobs' },
  config: CONFIG,
} as const;

const wholeNumber = (low: number, high: number): NumberRule => ({
  low,
  high,
  malformed: () => `not a whole number`,
  outside: () => `not in ${low}..${high}`,
});

export const COMMANDS = {
  create: {
    about: 'Build a layer from a directory or a tar (plain, gzip or zstd)',
    positional: {
      name: 'SOURCE',
      required: true,
      about: 'What to build from: a path, which for tars may be a FIFO or /dev/stdin',
    },
    options: {
      type: {
        short: 't',
        aliases: ['source-type'],
        values: TYPE_NAMES,
        default: 'dir-rafs',
        about:
          'What SOURCE is and what becomes of it: *-rafs stores its data in a blob, *-ref and ' +
          'tar-tarfs leave the data where they are and only index them',
      },
      bootstrap: {
        short: 'B',
        requiredUnless: ['blob-dir', 'blob-inline-meta'],
        conflicts: ['blob-inline-meta'],
        about: 'File for the bootstrap',
      },
      'blob-dir': {
        short: 'D',
        about:
          'Directory for the blob, named by its id, and for the bootstrap where --bootstrap is not given',
      },
      blob: {
        short: 'b',
        // nydus-image requires --external-blob by the same rule and so refuses calls that real
        // clients make; and it requires --blob with --blob-cache-dir, with which it conflicts.
        requiredUnless: ['type', 'blob-dir', 'blob-cache-dir'],
        about: 'File or FIFO for the blob',
      },
      'external-blob': { about: 'File or FIFO for the metadata of external data' },
      'blob-inline-meta': {
        flag: true,
        aliases: ['inline-bootstrap'],
        conflicts: ['blob-id', 'blob-cache-dir'],
        about: 'Put the bootstrap into the blob instead of a file of its own',
      },
      'blob-id': {
        requiredIf: ['type', ['estargztoc-ref', 'stargz_index']],
        about: 'Id of the blob, at most 255 bytes; its SHA-256 unless given',
      },
      'blob-data-size': { about: 'Size of the layer behind an eStargz TOC, in hex' },
      'blob-offset': {
        hidden: true,
        default: '0',
        about: 'Where the data start in the file they end up in',
      },
      'chunk-size': {
        defaultText: '0x100000, with estargztoc-ref 0x400000',
        about: 'Size of chunks: a power of two from 0x1000 to 0x1000000',
      },
      'batch-size': {
        default: '0',
        about:
          'Store small chunks together in batches of this size: 0 for never, or a power of two ' +
          'from 0x1000 to the chunk size',
      },
      compressor: {
        values: ['none', 'lz4_block', 'zstd'],
        default: 'zstd',
        conflicts: ['blob-cache-dir'],
        about: 'How chunks are compressed',
      },
      digester: {
        values: ['blake3', 'sha256'],
        default: 'blake3',
        about: 'How chunks are named',
      },
      config: CONFIG,
      'fs-version': {
        short: 'v',
        values: ['5', '6'],
        default: '6',
        about: 'Version of the RAFS format',
      },
      features: { values: ['blob-toc'], about: 'Extras: blob-toc adds a table of contents' },
      'chunk-dict': CHUNK_DICT,
      'parent-bootstrap': { about: 'Bootstrap of the layers below this one' },
      'aligned-chunk': {
        flag: true,
        about: 'Start chunks at multiples of 4 KiB; version 6 always does',
      },
      repeatable: { flag: true, about: 'Do not record owners' },
      'disable-check': { flag: true, hidden: true, about: 'Without effect' },
      'whiteout-spec': {
        values: ['oci', 'overlayfs', 'none'],
        default: 'oci',
        about: 'How SOURCE marks deleted files; none keeps such marks as files',
      },
      'prefetch-policy': PREFETCH_POLICY,
      'output-json': OUTPUT_JSON,
      encrypt: { short: 'E', flag: true, about: 'Encrypt chunks with AES-128-XTS' },
      'blob-cache-dir': {
        conflicts: ['blob', 'blob-dir'],
        about: 'Directory for a blob cache such as nydusd makes, instead of a blob',
      },
      attributes: { about: 'File that says which files are external, as gitattributes' },
      workers: {
        number: wholeNumber(0, 256),
        defaultText: 'processors less one',
        about: 'Threads that compress beside the main thread; the result does not depend on it',
      },
    },
  },
  convert: {
    about: 'Convert a container image to Nydus, or back',
    positional: {
      name: 'SOURCE',
      second: 'TARGET',
      requiredUnless: ['source', 'source-archive'],
      conflicts: ['source', 'target', 'source-archive', 'target-archive'],
      about:
        'Images: docker://HOST/NAME:TAG (or without docker://), oci:DIRECTORY[:TAG], ' +
        'oci-archive:FILE[:TAG] or, only as SOURCE, docker-archive:FILE[:TAG]; FILE may be - ' +
        'for stdin or stdout',
    },
    options: {
      mode: {
        values: ['native', 'zran', 'tarfs'],
        default: 'native',
        about:
          'What becomes of a layer: its data stored anew, only an index into the layer as it is, ' +
          'or the plain tar and an index into it',
      },
      'oci-ref': { flag: true, aliases: ['docker-v2-ref'], about: 'The same as --mode zran' },
      'fs-version': {
        values: ['5', '6'],
        default: '6',
        about: 'Version of the RAFS format',
      },
      compressor: {
        values: ['none', 'lz4_block', 'zstd'],
        default: 'zstd',
        about: 'How chunks are compressed',
      },
      'chunk-size': {
        aliases: ['fs-chunk-size'],
        default: '0x100000',
        about: 'Size of chunks: a power of two from 0x1000 to 0x1000000',
      },
      'batch-size': {
        default: '0',
        about: 'Store small chunks together in batches of this size; 0 for never',
      },
      'aligned-chunk': {
        flag: true,
        aliases: ['fs-align-chunk', 'backend-aligned-chunk'],
        about: 'Start chunks at multiples of 4 KiB; version 6 always does',
      },
      encrypt: { short: 'E', flag: true, about: 'Encrypt chunks with AES-128-XTS' },
      'prefetch-patterns': {
        flag: true,
        about: 'Read absolute paths of files to prefetch from stdin, one a line',
      },
      'prefetch-dir': { about: 'Path in the image to prefetch instead of everything' },
      platform: { list: true, about: 'Platforms to convert, as linux/arm64, separated by commas' },
      'all-platforms': {
        flag: true,
        conflicts: ['platform'],
        about: 'Convert the images of all platforms',
      },
      'merge-platform': {
        flag: true,
        about: 'Make an index of the ordinary image and the Nydus image',
      },
      'with-referrer': {
        flag: true,
        about: 'Name SOURCE as the subject of the result, so that it can be found from there',
      },
      source: { hidden: true, about: 'The same as SOURCE' },
      target: { hidden: true, about: 'The same as TARGET' },
      'source-archive': { hidden: true, about: 'The same as oci-archive: as SOURCE' },
      'target-archive': { hidden: true, about: 'The same as oci-archive: as TARGET' },
      'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of SOURCE' },
      'target-insecure': { flag: true, about: 'Speak plain HTTP with the registry of TARGET' },
      memory: {
        default: '256MiB',
        about: 'Memory for the process: fewer layers are converted at once if there is less',
      },
      'spool-limit': {
        default: '64GiB',
        about: 'Disk space for an archive that comes through a pipe or is compressed',
      },
      workers: {
        number: wholeNumber(0, 256),
        defaultText: 'processors less one',
        about: 'Threads that compress beside the main thread; the result does not depend on it',
      },
      reverse: {
        flag: true,
        about: 'Make an ordinary image of a Nydus image, whatever its mode',
      },
      'dry-run': { flag: true, about: 'Only say what would be done' },
      'output-json': OUTPUT_JSON,
      // of nydusify: how it runs a builder and pushes, which is settled here
      'nydus-image': { hidden: true, about: 'Without effect' },
      'work-dir': { hidden: true, about: 'Without effect' },
      oci: { flag: true, hidden: true, about: 'Without effect: the result always is OCI' },
      'plain-http': { flag: true, hidden: true, about: 'Both registries speak plain HTTP' },
    },
  },
  copy: {
    about: 'Copy an image with all that it needs, also layers that it only refers to',
    positional: {
      name: 'SOURCE',
      second: 'TARGET',
      requiredUnless: ['source', 'source-archive'],
      conflicts: ['source', 'target', 'source-archive', 'target-archive'],
      about: 'Images, as for convert',
    },
    options: {
      platform: { list: true, about: 'Platforms to copy, as linux/arm64; all unless given' },
      'all-platforms': { flag: true, hidden: true, about: 'Without effect' },
      source: { hidden: true, about: 'The same as SOURCE' },
      target: { hidden: true, about: 'The same as TARGET' },
      'source-archive': { hidden: true, about: 'The same as oci-archive: as SOURCE' },
      'target-archive': { hidden: true, about: 'The same as oci-archive: as TARGET' },
      'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of SOURCE' },
      'target-insecure': { flag: true, about: 'Speak plain HTTP with the registry of TARGET' },
      'spool-limit': {
        default: '64GiB',
        about: 'Disk space for an archive that comes through a pipe or is compressed',
      },
      'plain-http': { flag: true, hidden: true, about: 'Both registries speak plain HTTP' },
    },
  },
  merge: {
    about: 'Combine the bootstraps of layers into one',
    positional: {
      name: 'SOURCE',
      many: true,
      required: true,
      about: 'Bootstraps, or blobs with a bootstrap in them, lowest layer first',
    },
    options: {
      'parent-bootstrap': { about: 'Bootstrap below all of SOURCE' },
      bootstrap: { short: 'B', about: 'File for the merged bootstrap' },
      'blob-dir': {
        short: 'D',
        about:
          'Directory with the blobs, and for the bootstrap where --bootstrap is not given, named by its SHA-256',
      },
      'chunk-dict': CHUNK_DICT,
      'prefetch-policy': PREFETCH_POLICY,
      'output-json': OUTPUT_JSON,
      'blob-digests': { list: true, about: 'SHA-256 of each blob, separated by commas' },
      'original-blob-ids': { list: true, about: 'Id of each blob, separated by commas' },
      'blob-sizes': { list: true, about: 'Size of each blob, separated by commas' },
      'blob-toc-digests': { list: true, about: 'SHA-256 of each TOC, separated by commas' },
      'blob-toc-sizes': { list: true, about: 'Size of each TOC, separated by commas' },
      config: CONFIG,
    },
  },
  check: {
    about: 'Verify a bootstrap, and its blobs if given, and list the blobs it needs',
    positional: BOOTSTRAP_ARGUMENT,
    options: {
      bootstrap: BOOTSTRAP_OPTION,
      ...LOOKUP,
      ...BACKEND,
      'backend-type': { ...BACKEND['backend-type'], conflicts: ['blob-dir', 'config'] },
      source: {
        about:
          'Image that the positional argument is then the image of: their files are compared one ' +
          'by one, as a container would see them',
      },
      'source-insecure': { flag: true, about: 'Speak plain HTTP with the registry of --source' },
      'target-insecure': { flag: true, about: 'Speak plain HTTP with the other registry' },
      platform: { list: true, about: 'With --source: platforms to compare' },
      'all-platforms': { flag: true, conflicts: ['platform'], about: 'With --source: compare all' },
      verbose: { short: 'v', flag: true, about: 'List files and chunks' },
      'output-json': OUTPUT_JSON,
    },
  },
  inspect: {
    about: 'Look inside a bootstrap, at a prompt or with one request',
    positional: BOOTSTRAP_ARGUMENT,
    options: {
      bootstrap: BOOTSTRAP_OPTION,
      ...LOOKUP,
      request: {
        short: 'R',
        about:
          'Answer this and leave: stats, blobs, prefetch, ls, stat NAME, cd DIR, chunk OFFSET, ' +
          'or icheck INODE',
      },
    },
  },
  stat: {
    about: 'Show counts and sizes of bootstraps, and what they share',
    options: {
      bootstrap: { short: 'B', about: 'Bootstrap to look at' },
      'blob-dir': {
        short: 'D',
        about: 'Directory of bootstraps to look at: its files without an extension',
      },
      target: { short: 'T', about: 'Bootstrap to compare with the others' },
      config: CONFIG,
      digester: {
        values: ['blake3', 'sha256'],
        default: 'blake3',
        about: 'Digest by which chunks must be named to count as shared',
      },
      'output-json': OUTPUT_JSON,
    },
  },
  unpack: {
    about: 'Turn a bootstrap and its blobs back into a tar',
    positional: BOOTSTRAP_ARGUMENT,
    options: {
      bootstrap: BOOTSTRAP_OPTION,
      blob: {
        short: 'b',
        conflicts: ['blob-dir', 'backend-type'],
        about: 'The one blob, whatever its id',
      },
      'blob-dir': { short: 'D', conflicts: ['backend-type'], about: 'Directory with the blobs' },
      ...BACKEND,
      output: { required: true, about: 'File or FIFO for the tar' },
    },
  },
  export: {
    about: 'Make a disk image from a bootstrap and its blobs',
    options: {
      block: { flag: true, required: true, about: 'Make an image for a block device' },
      bootstrap: { short: 'B', requires: ['localfs-dir'], about: 'Bootstrap of the image' },
      'localfs-dir': {
        short: 'D',
        requires: ['bootstrap'],
        conflicts: ['config'],
        about: 'Directory with the blobs',
      },
      config: { short: 'C', about: 'File with the description of a blob cache entry' },
      output: {
        short: 'O',
        requiredUnless: ['localfs-dir'],
        defaultText: 'in --localfs-dir, the name of the bootstrap and .disk',
        about: 'File for the image',
      },
      compressor: {
        values: ['none', 'lz4', 'zstd'],
        default: 'none',
        about: 'Make a single image with EROFS compression instead of mapping blobs',
      },
      threads: {
        number: {
          low: 1,
          high: 1024,
          malformed: text => `invalid thread number configuration: ${text}`,
          outside: value => `invalid thread number ${value}, valid range: [1-1024]`,
        },
        default: '4',
        about: 'Threads that work on the image, at most 32',
      },
      verity: {
        flag: true,
        requires: ['block'],
        about: 'Append the hash tree of dm-verity and print the options to set it up',
      },
      'output-json': OUTPUT_JSON,
    },
  },
  nbd: {
    about: 'Serve the disk image of a bootstrap and its blobs to NBD clients until stopped',
    options: {
      bootstrap: { short: 'B', required: true, about: 'Bootstrap of the image' },
      'blob-dir': {
        short: 'D',
        requiredUnless: ['config', 'backend-type'],
        conflicts: ['config', 'backend-type'],
        about: 'Directory with the blobs',
      },
      config: { ...CONFIG, conflicts: ['backend-type'] },
      ...BACKEND,
      socket: {
        requiredUnless: ['port'],
        conflicts: ['port'],
        about: 'Unix socket to make and listen on',
      },
      port: {
        number: wholeNumber(0, 0xffff),
        about: 'TCP port of 127.0.0.1 to listen on; 0 picks a free one',
      },
      'cache-size': {
        number: wholeNumber(0, 2 ** 40),
        default: '67108864',
        about: 'Bytes of decompressed chunks to keep in memory',
      },
    },
  },
  optimize: {
    about: 'Copy the chunks to prefetch into a blob of their own',
    options: {
      bootstrap: { short: 'B', required: true, about: 'Bootstrap to start from' },
      'prefetch-files': { short: 'p', about: 'JSON file with the files and ranges to prefetch' },
      'output-blob-dir': { about: 'Directory for the new blob' },
      'output-bootstrap': {
        short: 'O',
        default: 'optimized_bootstrap',
        about: 'File for the new bootstrap',
      },
      config: CONFIG,
      'blob-dir': { short: 'D', conflicts: ['config'], about: 'Directory with the blobs' },
      ...BACKEND,
      blob: { short: 'b', about: 'Without effect' },
      'output-json': OUTPUT_JSON,
    },
  },
  compact: {
    about: 'Rewrite blobs without the chunks that no file uses',
    options: {
      bootstrap: { short: 'B', required: true, about: 'Bootstrap to start from' },
      'blob-dir': {
        short: 'D',
        required: true,
        about: 'Directory for new blobs; also of the old ones unless they are in a storage',
      },
      ...BACKEND,
      'min-used-ratio': {
        default: '0',
        about: 'Rewrite blobs that are used less than this, in percent',
      },
      'compact-blob-size': { default: '10485760', about: 'Join blobs smaller than this' },
      'max-compact-size': { default: '104857600', about: 'Largest blob made by joining' },
      'layers-to-compact': { default: '0', about: 'Do nothing if there are fewer blobs' },
      'chunk-dict': CHUNK_DICT,
      'output-bootstrap': {
        short: 'O',
        defaultText: 'the bootstrap with its extension replaced by bootstrap.compact',
        about: 'File for the new bootstrap',
      },
      'output-json': OUTPUT_JSON,
    },
  },
  'chunkdict generate': {
    about: 'Choose chunks worth sharing from many images',
    positional: {
      name: 'SOURCE',
      many: true,
      required: true,
      about: 'Bootstraps, each in a directory named IMAGE:TAG',
    },
    options: {
      database: {
        default: 'sqlite:///home/runner/output/database.db',
        about: 'Database to collect chunks in, as sqlite:// and an absolute path',
      },
      bootstrap: { short: 'B', about: 'File for the bootstrap of the dictionary' },
      'blob-dir': {
        short: 'D',
        about: 'Directory for that bootstrap if --bootstrap is not given',
      },
      'prefetch-policy': PREFETCH_POLICY,
      'output-json': OUTPUT_JSON,
      config: CONFIG,
      verbose: { short: 'v', flag: true, about: 'Without effect' },
    },
  },
} as const satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof COMMANDS;

/** Words that only introduce commands. */
export const GROUPS: Readonly<Record<string, string>> = {
  chunkdict: 'Work with chunk dictionaries',
};

/** What a call without a command stands for when something is piped into it. */
export const PIPE_ARGV = [
  'create',
  '--type',
  'tar-rafs',
  '--blob-inline-meta',
  '--features',
  'blob-toc',
  '--blob',
  '/dev/stdout',
  '/dev/stdin',
] as const;

type Given<Row extends OptionRow> = Row extends { list: true }
  ? string[]
  : Row extends { number: NumberRule }
    ? number
    : Row extends { values: readonly (infer Value)[] }
      ? Value
      : string;

/** The value of an option: undefined if it was not given and has no default. */
export type ValueOf<Row extends OptionRow> = Row extends { flag: true }
  ? boolean
  : Row extends { default: string } | { required: true }
    ? Given<Row>
    : Given<Row> | undefined;

export type ValuesOf<Rows extends Readonly<Record<string, OptionRow>>> = {
  readonly [Name in keyof Rows]: ValueOf<Rows[Name]>;
};

/** The options of a command, by long name: `Values<'create'>['blob-dir']`. */
export type Values<Name extends CommandName> = ValuesOf<(typeof COMMANDS)[Name]['options']>;

/** The options that every command has. */
export type GlobalValues = Omit<ValuesOf<typeof GLOBALS>, 'help'>;
