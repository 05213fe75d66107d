/** Names and ids as text for people and for JSON; inside, they are bytes held as latin1 strings. */

/** Whether a name, or an id that becomes one, can be that of a file and leads to no other folder. */
export const isFileName = (name: string): boolean => !/^\.{0,2}$|[/\0]/.test(name);

/** A path with another extension instead of its own, if it has one. */
export const withExtension = (path: string, extension: string): string => {
  const [, folder = '', name = ''] = /^(.*\/)?([^/]*)$/s.exec(path) ?? [];
  return `${folder}${name.replace(/(.)\.[^.]*$/s, '$1')}.${extension}`;
};

/** Text of bytes held as a latin1 string; what is not UTF-8 is replaced. */
export const shown = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

/** The latin1 string that holds the UTF-8 bytes of a text, or bytes as they are. */
export const held = (text: string | Uint8Array): string => Buffer.from(text).toString('latin1');
