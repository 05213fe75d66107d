import {
  CHUNK_BITS,
  type DedupRow,
  type ImageStatistics,
  type Statistics,
} from '../../lib/image/statistics.js';

const row = (label: string, value: number): string => `${`${label}:`.padEnd(24)}${value}\n`;

const imageText = (image: ImageStatistics): string =>
  [
    '\n',
    row('Directories', image.dirs),
    row('Files', image.files),
    row('Symlinks', image.symlinks),
    row('Chunks', image.chunks),
    row('File Size', image.file_size),
    row('Padding Size', image.padding_size),
    row('Uncompressed Size', image.uncomp_size),
    row('Compressed Size', image.comp_size),
    '\nFile Size Bits:\n',
    ...image.file_sizes.map((count, bits) => row(`  ${bits}`, count)),
    '\nChunk Size Bits:\n',
    ...image.chunk_sizes.map((count, i) => row(`  ${CHUNK_BITS.first + i}`, count)),
    '\n',
    row('Raw Content Size', image.uncomp_size),
    row('Comp Content Size', image.comp_size),
    row('Raw Chunk Count', image.chunks),
    '\n',
    row('Dedup Comp Size', image.dedup_comp_size),
    row('Dedup Uncomp Size', image.dedup_uncomp_size),
    row('Dedup Chunk Count', image.dedup_chunks),
    '\n',
    row('Owned Comp Size', image.own_comp_size),
    row('Owned Uncomp Size', image.own_uncomp_size),
    row('Owned Chunk Count', image.own_chunks),
    '\n',
    row('Referenced Comp Size', image.ref_comp_size),
    row('Referenced Uncomp Size', image.ref_uncomp_size),
    row('Referenced Chunk Count', image.ref_chunks),
  ].join('');

const HEADINGS = [
  'Global Dedup Threshold',
  'Raw Chunks',
  'Dedup Chunks',
  'Content Size',
  'Base Size',
  'Image Size',
];

/** The statistics as text for people. */
export const statisticsText = (statistics: Statistics, rows: readonly DedupRow[]): string => {
  const { target_enabled, target_image, base_image, dedup_enabled } = statistics;
  let text = target_enabled ? `Target Image Statistics:\n${imageText(target_image)}` : '';
  text += `\n\nBase Image Statistics:\n${imageText(base_image)}`;
  if (!dedup_enabled) return text;
  text += `\n\nChunk Deduplication Statistics:\n${HEADINGS.join('\t')}\n`;
  for (const [i, { rawCount, dedupCount, contentSize, baseSize, imageSize }] of rows.entries()) {
    if (dedupCount === 0) break;
    const cells = [rawCount, dedupCount, contentSize, baseSize, imageSize];
    const shown = cells.map(cell => `0x${cell.toString(16).padEnd(14)}`);
    text += `${String(i + 1).padEnd(24)}\t${shown.join('\t')}\n`;
  }
  return text;
};
