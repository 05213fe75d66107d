/** Colours, for text that goes to a terminal. */
import * as util from 'node:util';

export type Style = 'yellow' | 'red' | 'gray' | 'bold';

/** Text in a style, if this Node supports it; the caller must know whether its reader wants it. */
export const paint = (style: Style, text: string): string =>
  // Node has it since 20.12; it must not look at stdout, since the text may go elsewhere
  'styleText' in util ? util.styleText(style, text, { validateStream: false }) : text;

/** Whether colours are wanted: on a terminal, unless NO_COLOR says otherwise. */
export const colored = (
  isTty: boolean | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean => isTty === true && !env.NO_COLOR;

/** Help or a usage error with its headings highlighted. */
export const highlight = (text: string): string =>
  text
    .replace(/^error:/, word => paint('red', word))
    .replace(/^(?:Usage|Commands|Arguments|Options|Examples):/gm, word => paint('bold', word));
