/** The blocks of text that `check` and `inspect` print, in the format of nydus-image. */
import { isUtf8 } from 'node:buffer';
import type { Bootstrap } from '../../lib/bootstrap/bootstrap.js';
import { flagNames } from '../../lib/bootstrap/super-flags.js';
import type { Visit } from '../../lib/bootstrap/walk.js';
import type { BlobRecord, Inode, StoredChunk } from '../../lib/model/stored.js';
import { compressedDataSize } from '../../lib/blob/chunk-info-table.js';
import { compressorName } from '../../lib/compress/compressors.js';
import { digesterName } from '../../lib/crypto/digest.js';
import { BlobFeature } from '../../lib/layout/blob.js';
import { shown } from '../../lib/model/names.js';

/** Bytes in double quotes, with escapes for what is not UTF-8 or cannot be printed. */
export const quoted = (latin1: string): string => {
  const bytes = Buffer.from(latin1, 'latin1');
  if (isUtf8(bytes)) return `"${bytes.toString('utf8').replace(ESCAPED, escape)}"`;
  let text = '';
  let from = 0; // where the UTF-8 before `at` begins
  let at = 0;
  while (at < bytes.length) {
    const size = charSize(bytes, at);
    if (size === 0) {
      text += bytes.toString('utf8', from, at).replace(ESCAPED, escape);
      text += `\\x${bytes[at]!.toString(16).toUpperCase().padStart(2, '0')}`;
      from = at + 1;
    }
    at += size || 1;
  }
  return `"${text}${bytes.toString('utf8', from).replace(ESCAPED, escape)}"`;
};

/** Bytes of the UTF-8 character at an offset (Unicode, table 3-7); 0 if there is none. */
const charSize = (bytes: Buffer, at: number): number => {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return size > 0 && isUtf8(bytes.subarray(at, at + size)) && at + size <= bytes.length ? size : 0;
};

const ESCAPED =
  /["'\\]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Grapheme_Extend}]|(?! )\p{Zs}/gu;
const SHORT: Readonly<Record<string, string>> = { '\0': '0', '\t': 't', '\n': 'n', '\r': 'r' };
const escape = (char: string): string => {
  if (/["'\\]/.test(char)) return `\\${char}`;
  const short = SHORT[char];
  return short ? `\\${short}` : `\\u{${char.codePointAt(0)!.toString(16)}}`;
};

const CHECK_TYPES: Readonly<Partial<Record<Inode['type'], string>>> = {
  directory: 'dir',
  symlink: 'symlink',
};

/** One line of `check --verbose`. */
export const inodeLine = (bootstrap: Bootstrap, visit: Visit): string => {
  const { inode, name, path } = visit;
  const linked = inode.type === 'file' && inode.nlink > 1;
  const type = linked ? 'hardlink' : inode.type === 'file' ? 'file' : CHECK_TYPES[inode.type];
  let childCount = inode.chunkCount;
  if (inode.type === 'directory') {
    childCount = 0;
    for (const child of bootstrap.children(inode, visit.parentId)) childCount += child ? 1 : 0;
  }
  const link =
    inode.type === 'symlink' ? `Some(${quoted(bootstrap.symlinkTarget(inode))})` : 'None';
  return (
    `inode: ${type ?? ''} ${quoted(`/${path}`)}: index 0 ` +
    `ino ${inode.id} real_ino ${inode.id} child_index ${inode.childIndex} ` +
    `child_count ${childCount} i_nlink ${inode.nlink} i_size ${inode.size} ` +
    `i_blocks ${inode.blocks} i_name_size ${name.length || 1} ` +
    `i_symlink_size ${inode.symlinkSize} has_xattr ${inode.hasXattr} link ${link} ` +
    `i_mtime ${inode.mtime} i_mtime_nsec ${inode.mtimeNsec}\n`
  );
};

/** One line of `check --verbose`. */
export const chunkLine = (chunk: StoredChunk): string => {
  const crc = chunk.crc32 === undefined ? '' : `, crc32 0x${chunk.crc32.toString(16)}`;
  return (
    `\t chunk: id ${chunk.digest.toString('hex')}, index ${chunk.index}, ` +
    `blob_index ${chunk.blobIndex}, file_offset ${chunk.fileOffset}, ` +
    `compressed ${chunk.compressedOffset}/${chunk.compressedSize}, ` +
    `uncompressed ${chunk.uncompressedOffset}/${chunk.uncompressedSize}${crc}\n`
  );
};

const FEATURE_WORDS: readonly (readonly [number, string])[] = [
  [BlobFeature.ALIGNED, 'aligned'],
  [BlobFeature.BATCH, 'batch'],
  [BlobFeature.CAP_TAR_TOC, 'cap_toc'],
  [BlobFeature.INLINED_CHUNK_DIGEST, 'chunk-digest'],
  [BlobFeature.CHUNK_INFO_V2, 'chunk-v2'],
  [BlobFeature.INLINED_FS_META, 'fs-meta'],
  [BlobFeature.SEPARATE, 'separate'],
  [BlobFeature.HAS_TAR_HEADER, 'tar-header'],
  [BlobFeature.HAS_TOC, 'toc'],
  [BlobFeature.ZRAN, 'zran'],
  [BlobFeature.ENCRYPTED, 'encrypted'],
  [BlobFeature.IS_CHUNKDICT_GENERATED, 'is-chunkdict-generated'],
  [BlobFeature.EXTERNAL, 'external'], // nydus-image has no word for it
];

/** What `check` says of a valid image. */
export const validText = ({ blobs }: Bootstrap): string => {
  const lines = blobs.map(blob => {
    const words = FEATURE_WORDS.filter(([flag]) => blob.features & flag).map(([, word]) => word);
    return (
      `\t ${blob.index}: ${shown(blob.id)}, compressed size ${blob.compressedSize}, ` +
      `uncompressed size ${blob.uncompressedSize}, chunk size: ${blob.chunkSize}, ` +
      `chunk count: ${blob.chunkCount}, features: ${words.join(' ')}\n`
    );
  });
  return `RAFS filesystem metadata is valid, referenced data blobs: \n${lines.join('')}`;
};

/** Labels, padded to `width` columns, and values. */
const table = (width: number, rows: readonly (readonly [string, string | number])[]): string =>
  rows.map(([label, value]) => `${`${label}:`.padEnd(width)}${value}\n`).join('');

export const statText = ({
  inode,
  name,
  parentId,
}: Pick<Visit, 'inode' | 'name' | 'parentId'>): string =>
  `\n${table(20, [
    ['Inode Number', inode.id],
    ['Name', quoted(name)],
    ['Size', inode.size],
    ['Parent', parentId],
    ['Mode', `0x${inode.mode.toString(16).toUpperCase()}`],
    ['Permissions', inode.mode.toString(8)],
    ['Nlink', inode.nlink],
    ['UID', inode.uid],
    ['GID', inode.gid],
    ['Mtime', inode.mtime],
    ['MtimeNsec', inode.mtimeNsec],
    ['Blocks', inode.blocks],
  ])}`;

export const chunkListText = (blobs: readonly BlobRecord[], chunk: StoredChunk, i: number) =>
  [
    `${' '.repeat(8)}${i} ->`,
    `file offset: ${chunk.fileOffset}, chunk index: ${chunk.index}`,
    `compressed size: ${chunk.compressedSize}, decompressed size: ${chunk.uncompressedSize}`,
    `compressed offset: ${chunk.compressedOffset}, decompressed offset: ${chunk.uncompressedOffset}`,
    `blob id: ${shown(blobs[chunk.blobIndex]!.id)}`,
    `chunk id: ${chunk.digest.toString('hex')}\n    \n`,
  ].join(`\n${' '.repeat(8)}`);

export const chunkText = (
  blobs: readonly BlobRecord[],
  { name, path }: Visit,
  chunk: StoredChunk,
): string => {
  const parent = `/${path.slice(0, Math.max(0, path.length - name.length - 1))}`;
  return (
    `\nFile: ${shown(name).padEnd(32)} Parent Path: ${shown(parent).padEnd(32)}\n` +
    `Compressed Offset: ${chunk.compressedOffset}, Compressed Size: ${chunk.compressedSize}\n` +
    `Decompressed Offset: ${chunk.uncompressedOffset}, ` +
    `Decompressed Size: ${chunk.uncompressedSize}\n` +
    `Chunk ID: ${chunk.digest.toString('hex').padEnd(50)},\n` +
    `Blob ID: ${shown(blobs[chunk.blobIndex]!.id)}\n\n`
  );
};

const hex = (value: number): string => `0x${value.toString(16)}`;

export const statsText = (bootstrap: Bootstrap): string => {
  const { blob, prefetch, chunk } = bootstrap.tables;
  return table(24, [
    ['Version', bootstrap.version],
    ['Inodes Count', bootstrap.inodeCount],
    ['Chunk Size', `${bootstrap.chunkSize / 1024}KB`],
    ['Root Inode', bootstrap.rootId],
    ['Flags', flagNames(bootstrap.flags)],
    ['Blob table offset', hex(blob.offset)],
    ['Blob table size', hex(blob.size)],
    ['Prefetch table offset', hex(prefetch.offset)],
    ['Prefetch table size', hex(prefetch.size)],
    ['Chunk table offset', hex(chunk.offset)],
    ['Chunk table size', hex(chunk.size)],
  ]);
};

export const blobText = (bootstrap: Bootstrap, blob: BlobRecord): string => {
  const features = Object.entries(BlobFeature).filter(([, bit]) => blob.features & bit);
  // the blob table of old images has no other size
  const known = blob.features & (BlobFeature.CAP_TAR_TOC | BlobFeature.SEPARATE);
  const dataSize = known ? compressedDataSize(blob) : blob.compressedSize;
  const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
  return `\n${table(28, [
    ['Blob Index', blob.index],
    ['Blob ID', shown(blob.id)],
    ['Raw Blob ID', shown(blob.storedId)],
    ['Blob Size', blob.compressedSize],
    ['Compressed Data Size', dataSize],
    ['Uncompressed Data Size', blob.uncompressedSize],
    ['Mapped Block Address', blob.mappedBlkaddr],
    ['Features', features.map(([name]) => name).join(' | ')],
    ['Compressor', compressorName(blob.compressor)],
    ['Digester', capital(digesterName(blob.digester))],
    ['Cipher', blob.cipher === 0 ? 'none' : 'aes128xts'],
    ['Chunk Size', hex(blob.chunkSize)],
    ['Chunk Count', blob.chunkCount],
    ['Prefetch Table Offset', blob.readaheadOffset],
    ['Prefetch Table Size', blob.readaheadSize],
    ['Meta Compressor', compressorName(blob.ciCompressor)],
    ['Meta Offset', blob.ciOffset],
    ['Meta Compressed Size', blob.ciCompressedSize],
    ['Meta Uncompressed Size', blob.ciUncompressedSize],
    ['ToC Digest', blob.tocDigest.toString('hex')],
    ['ToC Size', blob.tocSize],
    ['RAFS Blob Digest', blob.metaDigest.toString('hex')],
    ['RAFS Blob Size', blob.metaSize],
  ])}`;
};
