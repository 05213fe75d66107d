/**
 * From the options of `create` to a build: which of them contradict each other, and what follows.
 *
 * Checks are in nydus-image's order, because only the first failure is reported, and have its
 * messages, because clients and their tests match them word for word.
 */
import { RAFS_VERSIONS, versionOf, type RafsVersion } from '../model/version.js';
import { parseSize } from './size.js';
import type { Compressor } from '../layout/compressors.js';
import type { Digester } from '../crypto/digest.js';
import { RafsError } from '../errors.js';
import {
  CONVERSIONS,
  conversionType,
  noticesOf,
  refusalOf,
  type BuildValues,
  type Conversion,
  type ConversionType,
  type Mode,
  type PrefetchPolicy,
  type SourceKind,
} from './conversions.js';
import type { WhiteoutSpec } from '../layer/whiteout.js';

/** A build with everything decided: no stage looks at options of the command line. */
export interface BuildOptions {
  mode: Mode;
  source: SourceKind;
  type: ConversionType;
  fsVersion: RafsVersion;
  chunkSize: number;
  /** 0 if chunks are not batched */
  batchSize: number;
  /** the one in effect */
  compressor: Compressor;
  digester: Digester;
  features: { blobToc: boolean; inlineMeta: boolean };
  /** false: owners are not recorded */
  explicitUidGid: boolean;
  whiteoutSpec: WhiteoutSpec;
  prefetchPolicy: PrefetchPolicy;
  blobId: string | undefined;
  /** where the data start in the file they end up in */
  blobOffset: number;
  /** size of the layer an eStargz TOC belongs to; only for source 'toc' */
  blobDataSize: number | undefined;
  encrypt: boolean;
  /** chunks start at multiples of 4 KiB of the uncompressed blob */
  alignedChunk: boolean;
  paths: {
    source: string;
    bootstrap: string | undefined;
    blob: string | undefined;
    blobDir: string | undefined;
    blobCacheDir: string | undefined;
    externalBlob: string | undefined;
    /** as given: a path, or 'bootstrap=' and a path */
    chunkDict: string | undefined;
    parentBootstrap: string | undefined;
    attributes: string | undefined;
    config: string | undefined;
    outputJson: string | undefined;
  };
  /** to be logged at level info */
  notices: string[];
}

/** What a path leads to, symbolic links followed. */
export type PathKind = 'directory' | 'file' | 'fifo' | 'char' | 'other';

export interface BuildRequest {
  values: BuildValues;
  /** names of the options that were actually given */
  explicit: ReadonlySet<string>;
  /** SOURCE */
  source: string;
  /** Called only when a check needs it; throws the system's error for what is not there. */
  kindOf: (path: string) => PathKind;
}

const refuse = (message: string): RafsError => new RafsError('UNSUPPORTED', message);
const misfit = (message: string, cause?: string): RafsError =>
  new RafsError('LIMIT', message, {}, cause ? { cause: new Error(cause) } : undefined);

const NOT_A_NUMBER = 'invalid digit found in string';
const CHUNK_LOW = 0x1000;
const CHUNK_HIGH = 0x1000000;

const fitsChunk = (size: number): boolean =>
  size >= CHUNK_LOW && size <= CHUNK_HIGH && Number.isInteger(Math.log2(size));

/**
 * Checks the options of `create` against each other and against their type, and returns the build
 * that they ask for. Throws a RafsError for the first failure. What `kindOf` throws for SOURCE
 * becomes the cause of an Error that names the path.
 */
export const planBuild = ({ values, explicit, source, kindOf }: BuildRequest): BuildOptions => {
  const type = conversionType(values.type);
  const conversion = CONVERSIONS[type];
  const fsVersion = versionOf(values['fs-version']);
  const version = RAFS_VERSIONS[fsVersion];
  const isDirectory = (path: string): boolean => {
    try {
      return kindOf(path) === 'directory';
    } catch {
      return false;
    }
  };

  if (Buffer.byteLength(values['blob-id'] ?? '') > 255) {
    throw misfit('blob id is limited to length 255');
  }
  const blobOffset = planOffset(values);
  const chunkSize = planChunkSize(values, conversion);
  const batchSize = planBatchSize(values, type, chunkSize);
  checkBlobTarget(values, type, isDirectory);
  const blobDataSize = conversion.source === 'toc' ? planDataSize(values) : undefined;
  checkSource(source, conversion.source, kindOf);
  const refusal = refusalOf(values);
  if (refusal) throw refuse(refusal);
  if (values.features === 'blob-toc' && !version.hasToc) {
    // nydus-image ends this message with a blank
    throw refuse("`--features blob-toc` can't be used with `--version 5` ");
  }
  if (values.encrypt && !version.canEncrypt) {
    // nydus-image builds an image that nobody can decrypt: v5 has no room for the key
    throw refuse("`--encrypt` can't be used with `--version 5`");
  }
  checkBootstrapTarget(values, isDirectory);

  // a blob cache holds what nydusd would have cached: uncompressed chunks
  const cached = values['blob-cache-dir'] !== undefined ? 'none' : undefined;
  return {
    mode: conversion.mode,
    source: conversion.source,
    type,
    fsVersion,
    chunkSize,
    batchSize,
    compressor: cached ?? conversion.compressor ?? values.compressor,
    digester: conversion.digester ?? values.digester,
    features: {
      blobToc: values.features === 'blob-toc',
      inlineMeta: values['blob-inline-meta'],
    },
    explicitUidGid: !values.repeatable,
    whiteoutSpec: values['whiteout-spec'],
    prefetchPolicy: values['prefetch-policy'],
    blobId: values['blob-id'] || undefined,
    blobOffset,
    blobDataSize,
    encrypt: values.encrypt,
    alignedChunk:
      version.alignsChunks && conversion.mode !== 'tarfs' ? true : values['aligned-chunk'],
    paths: {
      source,
      bootstrap: values.bootstrap,
      blob: values.blob,
      blobDir: values['blob-dir'],
      blobCacheDir: values['blob-cache-dir'],
      externalBlob: values['external-blob'],
      chunkDict: values['chunk-dict'],
      parentBootstrap: values['parent-bootstrap'] || undefined, // '' means none
      attributes: values.attributes,
      config: values.config,
      outputJson: values['output-json'],
    },
    notices: noticesOf(values, explicit),
  };
};

const planOffset = (values: BuildValues): number => {
  const text = values['blob-offset'];
  const offset = /^[0-9]+$/.test(text) ? parseSize(text) : undefined;
  if (offset === undefined) throw misfit(`invalid blob offset ${text}`, NOT_A_NUMBER);
  return offset;
};

const planChunkSize = (values: BuildValues, conversion: Conversion): number => {
  const text = values['chunk-size'];
  if (text === undefined) return conversion.chunkSize;
  const size = parseSize(text);
  if (size === undefined) throw misfit(`invalid chunk size ${text}`, NOT_A_NUMBER);
  if (!fitsChunk(size)) throw misfit(`invalid chunk size: ${size}`);
  return size;
};

const planBatchSize = (values: BuildValues, type: ConversionType, chunkSize: number): number => {
  const text = values['batch-size'];
  const size = parseSize(text);
  if (size === undefined) throw misfit(`invalid batch size ${text}`, NOT_A_NUMBER);
  if (size === 0) return 0;
  if (!RAFS_VERSIONS[versionOf(values['fs-version'])].hasChunkInfo) {
    throw refuse('`--batch-size` with non-zero value conflicts with `--fs-version 5`');
  }
  if (!fitsChunk(size)) throw misfit(`invalid batch size: ${size}`);
  if (size > chunkSize) {
    const [batch, chunk] = [size.toString(16), chunkSize.toString(16)];
    throw misfit(`batch size 0x${batch} is bigger than chunk size 0x${chunk}`);
  }
  if (!CONVERSIONS[type].batch) {
    throw refuse(`unsupported ConversionType for batch chunk: ${type}`);
  }
  return size;
};

const checkBlobTarget = (
  values: BuildValues,
  type: ConversionType,
  isDirectory: (path: string) => boolean,
): void => {
  const { blob, 'blob-dir': blobDir, 'blob-cache-dir': cacheDir } = values;
  if (cacheDir !== undefined) {
    if (!CONVERSIONS[type].blobCache) {
      throw refuse(`conversion type \`${type}\` conflicts with \`--blob-cache-dir\``);
    }
    if (!isDirectory(cacheDir)) {
      throw refuse('directory to store blob cache does not exist');
    }
    return;
  }
  if (CONVERSIONS[type].source === 'toc') return; // the data stay where they are
  if (blob !== undefined) {
    if (CONVERSIONS[type].mode === 'tarfs') {
      throw refuse(`conversion type \`${type}\` conflicts with \`--blob\``);
    }
  } else if (blobDir !== undefined) {
    if (!isDirectory(blobDir)) throw refuse('directory to store blobs does not exist');
  } else {
    throw refuse(
      'both --blob and --blob-dir are missing, please specify one to store the generated data blob file',
    );
  }
};

const planDataSize = (values: BuildValues): number => {
  const text = values['blob-data-size'];
  if (text === undefined) throw refuse("no value specified for '--blob-data-size'");
  const size = parseSize(`0x${text.replace(/^0x/, '')}`); // hex with and without 0x
  if (size === undefined) throw misfit(`invalid blob data size ${text}`, NOT_A_NUMBER);
  return size;
};

const checkSource = (
  source: string,
  wanted: SourceKind,
  kindOf: (path: string) => PathKind,
): void => {
  const quoted = JSON.stringify(source);
  let kind: PathKind;
  try {
    kind = kindOf(source);
  } catch (cause) {
    throw new Error(`failed to access path ${quoted}`, { cause });
  }
  if (wanted === 'dir' ? kind === 'directory' : ['file', 'fifo', 'char'].includes(kind)) return;
  throw refuse(
    wanted === 'dir'
      ? `specified path must be a directory: ${quoted}`
      : `specified path must be a regular/fifo/char_device file: ${quoted}`,
  );
};

const checkBootstrapTarget = (
  values: BuildValues,
  isDirectory: (path: string) => boolean,
): void => {
  if (values.bootstrap !== undefined || values['blob-inline-meta']) return;
  const directory = values['blob-dir'];
  if (directory === undefined) {
    throw refuse(
      'both --bootstrap and --blob-dir are missing, please specify one to store the generated metadata blob file',
    );
  }
  if (!isDirectory(directory)) throw refuse('Directory to store blobs does not exist');
};
