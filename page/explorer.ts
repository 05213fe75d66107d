/** The treemap with what belongs to it: path, search and what areas stand for. */
import { FILE_KINDS } from '../lib/report/file-kinds.js';
import type { ImageReport } from '../lib/report/report.js';
import { element, section } from './dom.js';
import { bytesText, countText, plural } from './format.js';
import type { Tree, Weight } from './tree.js';
import { treemapView } from './treemap.js';

/** Results of a search that are listed. */
const RESULTS = 40;

const WEIGHTS: Readonly<Record<Weight, string>> = {
  size: 'content',
  stored: 'bytes as stored',
};

export const explorer = (image: ImageReport, tree: Tree): HTMLElement => {
  let weight: Weight = 'size';
  const crumbs = element('ol', {});
  const says = element('p', { class: 'says', 'aria-live': 'polite' });

  const view = treemapView(tree, {
    weight: () => weight,
    onShow(node) {
      crumbs.replaceChildren(
        ...tree
          .ancestry(node)
          .map((one, i, line) =>
            element(
              'li',
              {},
              i === line.length - 1
                ? element('span', { 'aria-current': 'location' }, tree.names[one] || '/')
                : goTo(one, tree.names[one] || '/'),
            ),
          ),
      );
      says.textContent =
        `${tree.path(node)}: ${plural(tree.files[node]!, 'file')}, ` +
        `${bytesText(tree.weights.size[node]!)} of content, ` +
        `${bytesText(tree.weights.stored[node]!)} stored`;
    },
  });

  const goTo = (node: number, text: string): HTMLButtonElement => {
    const button = element('button', { type: 'button', class: 'link' }, text);
    button.addEventListener('click', () => view.show(node, true));
    return button;
  };

  const results = element('ul', { class: 'results' });
  const found = element('p', { class: 'says', 'aria-live': 'polite' });
  const search = element('input', { id: 'search', type: 'search', autocomplete: 'off' });
  const lookUp = (): void => {
    const text = search.value.trim();
    if (text === '') {
      results.replaceChildren();
      found.textContent = '';
      return;
    }
    const { nodes, count } = tree.search(text, RESULTS);
    found.textContent =
      count > RESULTS
        ? `${countText(count)} found; the ${RESULTS} largest:`
        : `${countText(count)} found`;
    results.replaceChildren(
      ...nodes.map(node =>
        element(
          'li',
          {},
          goTo(node, tree.path(node)),
          element('span', { class: 'number' }, bytesText(tree.weights.size[node]!)),
        ),
      ),
    );
  };
  let waiting: ReturnType<typeof setTimeout> | undefined;
  search.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(lookUp, 120); // while somebody types
  });

  const choices = (Object.keys(WEIGHTS) as Weight[]).map(name => {
    const radio = element('input', {
      type: 'radio',
      name: 'weight',
      value: name,
      checked: name === weight,
    });
    radio.addEventListener('change', () => {
      weight = name;
      view.show(tree.find(current()) ?? 0);
    });
    return element('label', {}, radio, ` ${WEIGHTS[name]}`);
  });
  const current = (): string =>
    `/${[...crumbs.children]
      .slice(1)
      .map(one => one.textContent)
      .join('/')}`;

  const legend = element(
    'ul',
    { class: 'legend', 'aria-label': 'Colours' },
    ...FILE_KINDS.map((kind, i) => element('li', { 'data-kind': i }, kind)),
  );
  const made = section(
    'files',
    'Files',
    element(
      'div',
      { class: 'controls' },
      element('label', { for: 'search' }, 'Find a file'),
      search,
      element('fieldset', {}, element('legend', {}, 'Areas are'), ...choices),
    ),
    found,
    results,
    element('nav', { class: 'crumbs', 'aria-label': 'Directory' }, crumbs),
    says,
    view.root,
    legend,
    element('p', { class: 'print-only' }, `Treemap of ${image.name}, as it was on the screen.`),
  );
  // it is drawn when it has a size
  requestAnimationFrame(() => view.show(0));
  return made;
};
