/**
 * The treemap: a rectangle for each file and directory, some levels below the one that is looked at.
 * One tile at a time is in the order of Tab; arrow keys move between them.
 */
import { hierarchy, treemap, type HierarchyRectangularNode } from 'd3-hierarchy';
import { FILE_KINDS, fileKind } from '../lib/report/file-kinds.js';
import { element } from './dom.js';
import { bytesText, countText, percentText } from './format.js';
import type { Tree, Weight } from './tree.js';

/** Levels that are drawn. */
const LEVELS = 4;
/** Most tiles of a directory; the smallest become one. */
const MOST_TILES = 120;
/** The smallest share of the whole that has a tile of its own. */
const LEAST_SHARE = 1 / 1500;
/** Pixels that a tile needs for its name. */
const LABEL = { width: 36, height: 17 } as const;
const HEADER = 20;

/** A node of the tree, or those of a directory that are too small to be seen. */
interface Tile {
  node: number;
  folded?: { count: number; weight: number };
  children?: Tile[];
}

export interface TreemapView {
  root: HTMLElement;
  show(node: number, focus?: boolean): void;
}

export const treemapView = (
  tree: Tree,
  { weight, onShow }: { weight: () => Weight; onShow: (node: number) => void },
): TreemapView => {
  const root = element('div', {
    class: 'treemap',
    role: 'group',
    'aria-label':
      'Treemap. Arrow keys move between tiles, Enter opens a directory, Backspace goes up.',
  });
  let current = 0;
  let tiles: { button: HTMLButtonElement; tile: Tile }[] = [];

  const weigh = ({ node, folded }: Tile): number => folded?.weight ?? tree.weights[weight()][node]!;

  const tilesBelow = (node: number, levels: number, least: number): Tile[] => {
    const children = [...tree.children(node)].map(child => ({ node: child }));
    children.sort((a, b) => weigh(b) - weigh(a));
    const shown = children.filter((tile, i) => i < MOST_TILES && weigh(tile) > least);
    const rest = children.slice(shown.length);
    const sum = rest.reduce((all, tile) => all + weigh(tile), 0);
    const made: Tile[] = shown.map(tile =>
      levels > 1 && tree.types[tile.node] === 'directory'
        ? { ...tile, children: tilesBelow(tile.node, levels - 1, least) }
        : tile,
    );
    if (sum > 0) made.push({ node, folded: { count: rest.length, weight: sum } });
    return made;
  };

  const draw = (): void => {
    const { clientWidth: width, clientHeight: height } = root;
    const whole = tree.weights[weight()][current]!;
    const children = tilesBelow(current, LEVELS, whole * LEAST_SHARE);
    const nodes = hierarchy<Tile>({ node: current, children })
      .sum(tile => (tile.children && tile.children.length > 0 ? 0 : weigh(tile)))
      .sort((a, b) => b.value! - a.value!);
    const placed = treemap<Tile>()
      .size([width, height])
      .paddingInner(2)
      .paddingTop(({ depth }) => (depth === 0 ? 0 : HEADER))
      .paddingRight(({ depth }) => (depth === 0 ? 0 : 3))
      .paddingBottom(({ depth }) => (depth === 0 ? 0 : 3))
      .paddingLeft(({ depth }) => (depth === 0 ? 0 : 3))
      .round(true)(nodes);
    tiles = placed
      .descendants()
      .slice(1)
      .filter(({ x0, x1, y0, y1 }) => x1 > x0 && y1 > y0)
      .map(place => ({ tile: place.data, button: tileButton(place, whole) }));
    tiles.forEach(({ button }, i) => (button.tabIndex = i === 0 ? 0 : -1));
    root.replaceChildren(...tiles.map(({ button }) => button));
    if (tiles.length === 0) {
      root.append(element('p', { class: 'empty' }, 'There is no content here.'));
    }
  };

  const tileButton = (place: HierarchyRectangularNode<Tile>, whole: number): HTMLButtonElement => {
    const { data: tile, x0, x1, y0, y1 } = place;
    const { node, folded } = tile;
    const isDirectory = !folded && tree.types[node] === 'directory';
    const name = folded
      ? folded.count === 1
        ? '1 smaller entry'
        : `${countText(folded.count)} smaller entries`
      : tree.names[node]!;
    const size = bytesText(weigh(tile));
    const kind = isDirectory || folded ? undefined : fileKind(name);
    const says = [
      `${isDirectory ? 'directory ' : ''}${name} ${size}`, // as the tile itself says it
      `${percentText(weigh(tile), whole)} of this directory`,
      ...(kind === undefined ? [] : [FILE_KINDS[kind]!]),
    ].join(', ');
    const button = element('button', {
      type: 'button',
      class: isDirectory ? 'tile directory' : 'tile',
      'data-kind': kind,
      'aria-label': says,
      title: says,
      style: `left:${x0}px;top:${y0}px;width:${x1 - x0}px;height:${y1 - y0}px`,
    });
    if (x1 - x0 > LABEL.width && y1 - y0 > LABEL.height) {
      button.append(element('span', { class: 'name' }, name));
      if (!isDirectory && y1 - y0 > 2 * LABEL.height) {
        button.append(' ', element('span', { class: 'size' }, size));
      }
    }
    button.addEventListener('click', () => {
      if (isDirectory) show(node, true);
    });
    return button;
  };

  const show = (node: number, focus = false): void => {
    current = tree.types[node] === 'directory' ? node : tree.parents[node]!;
    draw();
    onShow(current);
    const at = Math.max(
      0,
      tiles.findIndex(({ tile }) => tile.node === node && !tile.folded),
    );
    const { button } = tiles[at] ?? {};
    if (!button) return;
    if (current !== node) button.classList.add('found');
    if (focus) moveTo(at);
  };

  const moveTo = (index: number): void => {
    for (const { button } of tiles) button.tabIndex = -1;
    const { button } = tiles[Math.min(Math.max(index, 0), tiles.length - 1)]!;
    button.tabIndex = 0;
    button.focus();
  };

  root.addEventListener('keydown', event => {
    const at = tiles.findIndex(({ button }) => button === document.activeElement);
    const moves: Record<string, () => void> = {
      ArrowRight: () => moveTo(at + 1),
      ArrowDown: () => moveTo(at + 1),
      ArrowLeft: () => moveTo(at - 1),
      ArrowUp: () => moveTo(at - 1),
      Home: () => moveTo(0),
      End: () => moveTo(tiles.length - 1),
      Backspace: () => {
        if (current !== 0) show(tree.parents[current]!, true);
      },
    };
    if (at < 0 || !Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    moves[event.key]!();
  });
  new ResizeObserver(() => {
    if (root.clientWidth > 0) draw();
  }).observe(root);
  return { root, show };
};
