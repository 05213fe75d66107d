/** What a conversion makes of a layer, decided once from its options. */
import type { WrittenCompressor } from '../../lib/layout/compressors.js';
import { RAFS_VERSIONS, type RafsVersion } from '../../lib/model/version.js';
import { planBuild, type BuildOptions } from '../../lib/config/build.js';
import type { BuildValues, Mode } from '../../lib/config/conversions.js';
import { parsePrefetchPatterns } from '../../lib/layer/prefetch.js';
import { RafsError } from '../../lib/errors.js';

/** Options as the command line has them. */
export interface ConversionOptions {
  /** default: native */
  mode?: Mode;
  /** default: 6 */
  fsVersion?: RafsVersion;
  /** default: zstd */
  compressor?: WrittenCompressor;
  /** a number with or without 0x; default: 0x100000 */
  chunkSize?: string;
  /** default: 0, no batches */
  batchSize?: string;
  alignedChunk?: boolean;
  encrypt?: boolean;
  /** absolute paths of files to prefetch; default: `/` */
  prefetch?: readonly string[];
}

export interface ConversionSettings {
  mode: Mode;
  /** options of a layer's stages */
  build: BuildOptions;
  /** for the merged bootstrap */
  prefetch: readonly string[];
  /** what decides the bytes of a layer's blob: equal settings, equal bytes */
  key: string;
}

const TYPES = { native: 'tar-rafs', zran: 'targz-ref', tarfs: 'tar-tarfs' } as const;

/** Checks options against each other as `create` does, with its messages. */
export const planConversion = (options: ConversionOptions): ConversionSettings => {
  const { mode = 'native', encrypt = false } = options;
  const lines = Buffer.from((options.prefetch ?? ['/']).join('\n'));
  const prefetch = parsePrefetchPatterns(lines).patterns;
  const fsVersion = mode === 'native' ? (options.fsVersion ?? 6) : 6;
  const inlined = mode !== 'tarfs';
  const values: BuildValues = {
    type: TYPES[mode],
    bootstrap: inlined ? undefined : '-',
    'blob-dir': inlined ? undefined : '.',
    blob: inlined ? '-' : undefined,
    'external-blob': undefined,
    'blob-inline-meta': inlined,
    'blob-id': undefined,
    'blob-data-size': undefined,
    'blob-offset': '0',
    'chunk-size': mode === 'native' ? (options.chunkSize ?? '0x100000') : undefined,
    'batch-size': options.batchSize ?? '0',
    compressor: options.compressor ?? 'zstd',
    digester: 'blake3',
    config: undefined,
    'fs-version': `${fsVersion}`,
    features: inlined && RAFS_VERSIONS[fsVersion].hasToc ? 'blob-toc' : undefined,
    'chunk-dict': undefined,
    'parent-bootstrap': undefined,
    'aligned-chunk': options.alignedChunk ?? false,
    repeatable: false,
    // whiteouts stay files in a layer; only the merge applies them
    'whiteout-spec': 'none',
    'prefetch-policy': mode === 'native' ? 'fs' : 'none',
    'output-json': undefined,
    encrypt,
    'blob-cache-dir': undefined,
    attributes: undefined,
  };
  if (encrypt && mode !== 'native') {
    throw new RafsError('USAGE', `a ${mode} image cannot be encrypted: its data stay as they are`);
  }
  const kindOf = (path: string) => (path === '.' ? 'directory' : 'fifo');
  const build = planBuild({ values, explicit: new Set(), source: '-', kindOf });
  const { compressor, chunkSize, batchSize, alignedChunk } = build;
  const key = JSON.stringify({
    mode,
    fsVersion,
    compressor,
    chunkSize,
    batchSize,
    alignedChunk,
    prefetch: mode === 'native' ? prefetch : [],
  });
  return { mode, build, prefetch, key };
};
