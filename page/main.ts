/** The page of a report: unpacks what it carries, and shows it. */
import type { ImageReport, Report } from '../lib/report/report.js';
import { element, type Content } from './dom.js';
import { bytesText, countText, percentText, plural } from './format.js';
import { explorer } from './explorer.js';
import {
  blobTable,
  duplicateTable,
  kindTable,
  largestTable,
  prefetchList,
  pullTable,
  recordTables,
  sharedTable,
} from './tables.js';
import { section } from './dom.js';
import { Tree } from './tree.js';

/** The report and the columns of its trees. */
const unpack = async (text: string): Promise<{ report: Report; columns: Uint8Array }> => {
  const packed = Uint8Array.from(atob(text), one => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const end = bytes.indexOf(0);
  // the program that made the page wrote it
  const report = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Report;
  return { report, columns: bytes.subarray(end + 1) };
};

const MODES: Record<ImageReport['mode'], string> = {
  native: 'Nydus blobs',
  zran: 'Index into the original tar.gz layers (zran)',
  tarfs: 'Index into plain tars (tarfs)',
};

const figure = (title: string, value: string, about: string): HTMLElement =>
  element(
    'div',
    { class: 'figure' },
    element('dt', {}, title),
    element('dd', {}, element('strong', {}, value), element('span', {}, about)),
  );

const summary = (image: ImageReport): HTMLElement => {
  const { all, chunks, blobs, duplicates, prefetch } = image;
  const layers = blobs.reduce((sum, { layer = 0 }) => sum + layer, 0);
  const stored = blobs.reduce((sum, one) => sum + one.stored, 0);
  return element(
    'dl',
    { class: 'figures' },
    figure(
      'Content',
      bytesText(all.size),
      `${plural(all.files, 'file')} in ${countText(image.directories)} directories`,
    ),
    figure(
      'Stored',
      bytesText(chunks.stored),
      `${percentText(chunks.stored, all.size)} of the content, in ${plural(chunks.count, 'chunk')}`,
    ),
    figure(
      'Blobs',
      `${blobs.length}`,
      layers > 0
        ? `${bytesText(stored)}; the ordinary layers have ${bytesText(layers)}`
        : bytesText(stored),
    ),
    figure(
      'Bootstrap',
      bytesText(image.bootstrap),
      `read before the container starts; RAFS v${image.fsVersion}`,
    ),
    figure(
      'Duplicate files',
      bytesText(duplicates.size),
      `${plural(duplicates.files, 'file')} in ${plural(duplicates.groups, 'group')}`,
    ),
    figure(
      'Prefetched',
      bytesText(prefetch.stored),
      `${percentText(prefetch.stored, chunks.stored)} of what is stored`,
    ),
  );
};

const imageSections = (image: ImageReport, tree: Tree): HTMLElement[] => [
  section(
    'overview',
    'Overview',
    element(
      'p',
      {},
      `${MODES[image.mode]}, compressed with ${image.compressor}, chunks of up to ` +
        `${bytesText(image.chunkSize)} named by ${image.digester}.`,
    ),
    summary(image),
  ),
  explorer(image, tree),
  section('layers', 'Layers', blobTable(image)),
  section('largest', 'Largest files', largestTable(image)),
  section('kinds', 'Compression by type', kindTable(image)),
  section('duplicates', 'Duplicate files', ...duplicateTable(image)),
  section('shared', 'Chunks that layers share', ...sharedTable(image)),
  section('prefetch', 'Prefetch', ...prefetchList(image)),
  section('records', 'Superblock and tables', ...recordTables(image)),
];

const contents = (sections: readonly HTMLElement[]): HTMLElement =>
  element(
    'nav',
    { class: 'contents', 'aria-label': 'Contents' },
    element(
      'ul',
      {},
      ...sections.map(({ id, firstElementChild }) =>
        element('li', {}, element('a', { href: `#${id}` }, firstElementChild?.textContent ?? id)),
      ),
    ),
  );

const render = ({ images, pulls }: Report, columns: Uint8Array): void => {
  document.title = `${images.map(({ name }) => name).join(', ')} – rafs-stream report`;
  const main = element('main', {});
  const nav = element('div', {});
  const trees = new Map<number, Tree>();

  const show = (index: number): void => {
    const image = images[index]!;
    let tree = trees.get(index);
    if (!tree) trees.set(index, (tree = new Tree(image.tree, columns)));
    const sections = imageSections(image, tree);
    if (images.length > 1) {
      sections.splice(
        1,
        0,
        section('pulls', 'From one image to the other', pullTable(images, pulls)),
      );
    }
    main.replaceChildren(...sections);
    nav.replaceChildren(contents(sections));
  };

  const title: Content[] = [element('h1', {}, images.length === 1 ? images[0]!.name : 'Images')];
  if (images.length > 1) {
    const select = element(
      'select',
      { id: 'image' },
      ...images.map(({ name }, i) => element('option', { value: i }, name)),
    );
    select.addEventListener('change', () => show(select.selectedIndex));
    title.push(element('label', { for: 'image' }, 'Image '), select);
  }
  document.body.replaceChildren(
    element('a', { class: 'skip', href: '#overview' }, 'Skip to the overview'),
    element('header', {}, ...title, nav),
    main,
    element('footer', {}, 'Made by rafs-stream report'),
  );
  show(0);
};

const { report, columns } = await unpack(document.getElementById('data')!.textContent.trim());
render(report, columns);
