/**
 * Conversion types: what `--type` means, and what each type forces and forbids.
 *
 * The messages are those of nydus-image, because clients and their tests match them word for word.
 */
import type { RafsVersion } from '../model/version.js';
import type { Compressor, WrittenCompressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';
import type { WhiteoutSpec } from '../layer/whiteout.js';

export type Mode = 'native' | 'zran' | 'tarfs';
export type SourceKind = 'dir' | 'tar' | 'toc';
export type PrefetchPolicy = 'fs' | 'blob' | 'none';

/** Everything `--type` accepts, in the order in which help and errors list it. */
export const TYPE_NAMES = [
  'directory',
  'dir-rafs',
  'estargz-rafs',
  'estargz-ref',
  'estargztoc-ref',
  'tar-rafs',
  'tar-tarfs',
  'targz-rafs',
  'targz-ref',
  'stargz_index',
] as const;
export type TypeName = (typeof TYPE_NAMES)[number];

/** Other names of a type. Messages always use the type's own name. */
export const TYPE_ALIASES = {
  directory: 'dir-rafs',
  stargz_index: 'estargztoc-ref',
} as const satisfies Partial<Record<TypeName, TypeName>>;

export type ConversionType = Exclude<TypeName, keyof typeof TYPE_ALIASES>;

/** The options of `create` that decide what is built, as the command line gives them. */
export interface BuildValues {
  readonly type: TypeName;
  readonly bootstrap: string | undefined;
  readonly 'blob-dir': string | undefined;
  readonly blob: string | undefined;
  readonly 'external-blob': string | undefined;
  readonly 'blob-inline-meta': boolean;
  readonly 'blob-id': string | undefined;
  readonly 'blob-data-size': string | undefined;
  readonly 'blob-offset': string;
  readonly 'chunk-size': string | undefined;
  readonly 'batch-size': string;
  readonly compressor: WrittenCompressor;
  readonly digester: Digester;
  readonly config: string | undefined;
  readonly 'fs-version': `${RafsVersion}`;
  readonly features: 'blob-toc' | undefined;
  readonly 'chunk-dict': string | undefined;
  readonly 'parent-bootstrap': string | undefined;
  readonly 'aligned-chunk': boolean;
  readonly repeatable: boolean;
  readonly 'whiteout-spec': WhiteoutSpec;
  readonly 'prefetch-policy': PrefetchPolicy;
  readonly 'output-json': string | undefined;
  readonly encrypt: boolean;
  readonly 'blob-cache-dir': string | undefined;
  readonly attributes: string | undefined;
}

type Rule = (values: BuildValues, type: ConversionType) => string | false;

/** Rules that a type may have, by name; a broken rule returns its message. */
const RULES = {
  'no prefetch policy blob': (v, t) =>
    v['prefetch-policy'] === 'blob' &&
    `conversion type ${t} conflicts with '--prefetch-policy blob'`,
  'v6 only': (v, t) =>
    v['fs-version'] === '5' &&
    `'--fs-version 5' conflicts with conversion type '${t}', only V6 is supported`,
  'no blob id': (v, t) => !!v['blob-id'] && conflict(t, '--blob-id'),
  'blob id': v => !v['blob-id'] && "'--blob-id' is missing for '--type stargz_index'",
  'no chunk dict': (v, t) => v['chunk-dict'] !== undefined && conflict(t, '--chunk-dict'),
  'no parent': (v, t) => !!v['parent-bootstrap'] && conflict(t, '--parent-bootstrap'),
  'no inline meta': (v, t) => v['blob-inline-meta'] && conflict(t, '--blob-inline-meta'),
  'no blob toc': (v, t) => v.features === 'blob-toc' && conflict(t, '--features blob-toc'),
  'no aligned chunk': (v, t) => v['aligned-chunk'] && conflict(t, '--aligned-chunk'),
  'no encryption': (v, t) => v.encrypt && conflict(t, '--encrypt'),
} as const satisfies Record<string, Rule>;

const conflict = (type: ConversionType, option: string): string =>
  `conversion type '${type}' conflicts with '${option}'`;

export interface Conversion {
  /** what SOURCE is: a directory, a tar (gzipped or not), or the TOC of an eStargz layer */
  readonly source: SourceKind;
  /** with source 'toc', 'zran' only means that the data stay in their gzip */
  readonly mode: Mode;
  /** if set, this and `digester` override the command line */
  readonly compressor?: Compressor;
  readonly digester?: Digester;
  /** default of `--chunk-size` */
  readonly chunkSize: number;
  /** small chunks may be stored in batches */
  readonly batch: boolean;
  /** `--blob-cache-dir` may be given */
  readonly blobCache: boolean;
  readonly rules: readonly (keyof typeof RULES)[];
}

const NATIVE = {
  mode: 'native',
  chunkSize: 0x100000,
  batch: true,
  blobCache: true,
  rules: [],
} as const satisfies Partial<Conversion>;

const REFERENCE = {
  source: 'tar',
  mode: 'zran',
  compressor: 'gzip',
  digester: 'sha256',
  chunkSize: 0x100000,
  batch: false,
  blobCache: true,
  rules: ['no prefetch policy blob', 'v6 only', 'no blob id', 'no encryption'],
} as const satisfies Conversion;

/** What each type means; it is defined nowhere else. */
export const CONVERSIONS: Readonly<Record<ConversionType, Conversion>> = {
  'dir-rafs': { ...NATIVE, source: 'dir' },
  'tar-rafs': { ...NATIVE, source: 'tar' },
  'targz-rafs': { ...NATIVE, source: 'tar' },
  'estargz-rafs': { ...NATIVE, source: 'tar', blobCache: false },
  'targz-ref': REFERENCE,
  'estargz-ref': { ...REFERENCE, blobCache: false },
  'estargztoc-ref': {
    ...REFERENCE,
    source: 'toc',
    chunkSize: 0x400000,
    blobCache: false,
    rules: ['v6 only', 'no encryption', 'blob id'],
  },
  'tar-tarfs': {
    source: 'tar',
    mode: 'tarfs',
    compressor: 'none',
    digester: 'sha256',
    chunkSize: 0x100000,
    batch: false,
    blobCache: false,
    rules: [
      'no prefetch policy blob',
      'v6 only',
      'no encryption',
      'no chunk dict',
      'no parent',
      'no inline meta',
      'no blob toc',
      'no aligned chunk',
    ],
  },
};

/** The type behind any name that `--type` accepts. */
export const conversionType = (name: TypeName): ConversionType =>
  name === 'directory' || name === 'stargz_index' ? TYPE_ALIASES[name] : name;

/** The message of the first broken rule of a type, or undefined. */
export const refusalOf = (values: BuildValues): string | undefined => {
  const type = conversionType(values.type);
  for (const name of CONVERSIONS[type].rules) {
    const rule: Rule = RULES[name];
    const message = rule(values, type);
    if (message) return message;
  }
  return undefined;
};

/** A notice for each explicit option that the type overrides; defaults are overridden silently. */
export const noticesOf = (values: BuildValues, explicit: ReadonlySet<string>): string[] => {
  const type = conversionType(values.type);
  const { compressor, digester } = CONVERSIONS[type];
  const notices: string[] = [];
  const asked = values.compressor;
  if (explicit.has('compressor') && compressor !== undefined && compressor !== asked) {
    notices.push(
      compressor === 'gzip'
        ? `only GZip is supported for conversion type ${type}, use GZip instead of ${asked}`
        : `only compressor \`None\` is supported for conversion type ${type}, use \`None\` instead of ${asked}`,
    );
  }
  if (explicit.has('digester') && digester !== undefined && digester !== values.digester) {
    notices.push(
      `only SHA256 is supported for conversion type ${type}, use SHA256 instead of Blake3`,
    );
  }
  if (type === 'estargztoc-ref') {
    notices.push('nydusd does not mount images made of an eStargz TOC: use estargz-ref for it');
  }
  return notices;
};
