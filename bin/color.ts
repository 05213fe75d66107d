/** Colours, for text that goes to a terminal. */
import * as util from 'node:util';

export type Style = 'yellow' | 'red' | 'gray' | 'bold';

/** Text in a colour, where this Node has one; whether its reader wants it is the caller's to know. */
export const paint = (style: Style, text: string): string =>
  // Node has it since 20.12; it is not to look at stdout, since the text may go elsewhere
  'styleText' in util ? util.styleText(style, text, { validateStream: false }) : text;

/** Colours are wanted: on a terminal, unless NO_COLOR says otherwise. */
export const colored = (
  isTty: boolean | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean => isTty === true && !env.NO_COLOR;

/** Help or a usage error with its headings marked. */
export const highlight = (text: string): string =>
  text
    .replace(/^error:/, word => paint('red', word))
    .replace(/^(?:Usage|Commands|Arguments|Options|Examples):/gm, word => paint('bold', word));
