/** The tables of a report. */
import type { ImageReport, PullCost } from '../lib/report/report.js';
import { bar, element, table, type Content } from './dom.js';
import { bytesText, countText, percentText, plural } from './format.js';

const path = (text: string): HTMLElement => element('code', {}, text);
const number = { number: true } as const;
const share = (part: number, whole: number): HTMLElement =>
  element('span', { class: 'share' }, bar(part, whole), percentText(part, whole));

export const blobTable = ({ blobs }: ImageReport): HTMLElement => {
  const known = blobs.some(({ layer }) => layer !== undefined);
  return table(
    known ? 'Blobs, and the layers they were made of' : 'Blobs',
    [
      { title: 'No.' },
      { title: 'Blob' },
      ...(known ? [{ title: 'OCI layer', ...number }] : []),
      { title: 'Nydus blob', ...number },
      { title: 'Unpacked', ...number },
      { title: 'Chunks', ...number },
      { title: 'Used by the image' },
    ],
    blobs.map((blob, i) => [
      `${i}`,
      path(blob.id),
      ...(known ? [blob.layer === undefined ? '–' : bytesText(blob.layer)] : []),
      blob.stored > 0 ? bytesText(blob.stored) : '–',
      blob.unpacked > 0 ? bytesText(blob.unpacked) : '–',
      countText(blob.chunks || blob.usedChunks),
      blob.stored > 0 ? share(blob.used, blob.stored) : bytesText(blob.used),
    ]),
  );
};

export const largestTable = ({ largest, all }: ImageReport): HTMLElement =>
  table(
    `The ${largest.length} largest files`,
    [
      { title: 'File' },
      { title: 'Size', ...number },
      { title: 'Stored', ...number },
      { title: 'Of the content' },
    ],
    largest.map(file => [
      path(`/${file.path}`),
      bytesText(file.size),
      bytesText(file.stored),
      share(file.size, all.size),
    ]),
  );

export const kindTable = ({ kinds }: ImageReport): HTMLElement =>
  table(
    'Files by type, and what compression makes of them',
    [
      { title: 'Type' },
      { title: 'Files', ...number },
      { title: 'Size', ...number },
      { title: 'Stored', ...number },
      { title: 'Stored of size' },
    ],
    [...kinds]
      .sort((a, b) => b.size - a.size)
      .map(kind => [
        kind.kind,
        countText(kind.files),
        bytesText(kind.size),
        bytesText(kind.stored),
        share(kind.stored, kind.size),
      ]),
  );

export const duplicateTable = ({ duplicates }: ImageReport): Content[] => {
  const { groups, files, size, largest } = duplicates;
  if (groups === 0) return [element('p', {}, 'No two files have the same content.')];
  return [
    element(
      'p',
      {},
      `${plural(files, 'file')} in ${plural(groups, 'group')} of equal ones: ` +
        `${bytesText(size)} would be enough less. Within a layer their chunks are stored once.`,
    ),
    table(
      'Groups of equal files',
      [
        { title: 'Files', ...number },
        { title: 'Size of each', ...number },
        { title: 'Repeated', ...number },
        { title: 'Names' },
      ],
      largest.map(group => [
        countText(group.count),
        bytesText(group.size),
        bytesText(group.size * (group.count - 1)),
        names(group.paths, group.count),
      ]),
    ),
  ];
};

const names = (paths: readonly string[], count: number): HTMLElement => {
  const [first = '', ...others] = paths;
  if (others.length === 0) return path(`/${first}`);
  const more = count - paths.length;
  return element(
    'details',
    {},
    element('summary', {}, path(`/${first}`)),
    element('ul', {}, ...others.map(one => element('li', {}, path(`/${one}`)))),
    ...(more > 0 ? [`and ${countText(more)} more`] : []),
  );
};

export const sharedTable = ({ shared, blobs }: ImageReport): Content[] =>
  shared.length === 0
    ? [element('p', {}, 'No chunk is in two layers.')]
    : [
        element(
          'p',
          {},
          'Chunks with the same content that lie in two layers. A chunk dictionary stores them once.',
        ),
        table(
          'Pairs of layers',
          [
            { title: 'Layers' },
            { title: 'Blobs' },
            { title: 'Equal chunks', ...number },
            { title: 'Bytes stored twice', ...number },
          ],
          shared.map(({ a, b, chunks, stored }) => [
            `${a} and ${b}`,
            element(
              'span',
              {},
              path(blobs[a]!.id.slice(0, 12)),
              ' and ',
              path(blobs[b]!.id.slice(0, 12)),
            ),
            countText(chunks),
            bytesText(stored),
          ]),
        ),
      ];

export const prefetchList = ({ prefetch, chunks }: ImageReport): Content[] => {
  const { paths, files, size, stored } = prefetch;
  if (paths.length === 0) return [element('p', {}, 'The image names no files to prefetch.')];
  return [
    element(
      'p',
      {},
      `${plural(files, 'file')} with ${bytesText(size)}, stored in ${bytesText(stored)}: ` +
        `${percentText(stored, chunks.stored)} of what is stored.`,
    ),
    element('ul', {}, ...paths.map(one => element('li', {}, path(one)))),
  ];
};

export const pullTable = (
  images: readonly ImageReport[],
  pulls: readonly PullCost[],
): HTMLElement =>
  table(
    'What a node fetches that reads every file of an image',
    [
      { title: 'It has' },
      { title: 'It pulls' },
      { title: 'Chunks to fetch', ...number },
      { title: 'Bytes to fetch', ...number },
      { title: 'Of the image' },
      { title: 'Known content', ...number },
    ],
    pulls.map(({ from, to, chunks, bytes, known }) => [
      images[from]!.name,
      images[to]!.name,
      countText(chunks),
      bytesText(bytes),
      share(bytes, images[to]!.chunks.stored),
      known.chunks === 0 ? '–' : `${bytesText(known.bytes)} with a dictionary less`,
    ]),
  );

export const recordTables = ({ dumps }: ImageReport): HTMLElement[] =>
  dumps.map(({ record, offset, fields }) =>
    element(
      'details',
      { open: offset < 2048 },
      element('summary', {}, `${record} at 0x${offset.toString(16)}`),
      table(
        `Fields of ${record}`,
        [
          { title: 'Offset', ...number },
          { title: 'Field' },
          { title: 'Bytes' },
          { title: 'Value' },
        ],
        fields.map(field => [
          `0x${field.offset.toString(16)}`,
          path(field.name),
          path(field.bytes),
          field.value,
        ]),
      ),
    ),
  );
