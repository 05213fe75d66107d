/** Makes elements; texts are never parsed as HTML. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
export type Content = Node | string;

export const element = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: Content[]
): HTMLElementTagNameMap[K] => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? '' : `${value}`);
  }
  made.append(...content);
  return made;
};

/** A section with a heading, which the list of contents names. */
export const section = (id: string, title: string, ...content: Content[]): HTMLElement =>
  element(
    'section',
    { id, 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title` }, title),
    ...content,
  );

export interface Column {
  title: string;
  /** shown at the right, in figures of equal width */
  number?: true;
}

/** A table that scrolls by itself where it is too wide. */
export const table = (
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly Content[])[],
): HTMLElement => {
  const cell = (tag: 'td' | 'th', content: Content, { number }: Column, scope?: string) =>
    element(tag, { class: number ? 'number' : undefined, scope }, content);
  return element(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    element(
      'table',
      {},
      element('caption', {}, caption),
      element(
        'thead',
        {},
        element('tr', {}, ...columns.map(column => cell('th', column.title, column, 'col'))),
      ),
      element(
        'tbody',
        {},
        ...rows.map(row =>
          element('tr', {}, ...row.map((content, i) => cell('td', content, columns[i]!))),
        ),
      ),
    ),
  );
};

/** A bar whose length is a share of the whole; the figure beside it says the same. */
export const bar = (part: number, whole: number): HTMLElement =>
  element('span', {
    class: 'bar',
    'aria-hidden': 'true',
    style: `--share: ${whole > 0 ? Math.min(1, part / whole).toFixed(4) : 0}`,
  });
