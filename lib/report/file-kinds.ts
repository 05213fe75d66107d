/** Sorts files by their names into kinds that compress alike. */

const EXTENSIONS = {
  code: 'c cc cpp cs css dart go h hh hpp java js jsx kt lua m mjs pl pm php py r rb rs scala sh sql swift tcl ts tsx vue',
  'compiled code': 'a class dll dylib elc exe ko lib mo o pyc pyo so wasm',
  'archives and compressed': '7z apk br bz2 deb gz jar lz4 lzma rpm tar tgz war whl xz zip zst',
  'text and markup': 'adoc csv htm html info log md pod po rst svg tex tsv txt xhtml',
  'data and settings':
    'bin cfg conf crt dat db ini json key list lock map pem plist properties sqlite toml xml yaml yml',
  'images and media':
    'avif bmp eot flac gif ico jpeg jpg mp3 mp4 ogg otf pdf png tif tiff ttf wav webm webp woff woff2',
} as const;

/** The kinds, in the order in which the page colours them. */
export const FILE_KINDS = [...Object.keys(EXTENSIONS), 'programs and others'] as const;

const KIND_OF = new Map(
  Object.values(EXTENSIONS).flatMap((names, kind) =>
    names.split(' ').map(name => [name, kind] as const),
  ),
);
const OTHER = FILE_KINDS.length - 1;

/** The index of a file's kind: by its extension, or by that of a library (`libz.so.1`). */
export const fileKind = (name: string): number => {
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 ? name.slice(dot + 1).toLowerCase() : '';
  const kind = KIND_OF.get(extension);
  if (kind !== undefined) return kind;
  return /\.so(\.\d+)+$/.test(name) ? KIND_OF.get('so')! : OTHER;
};
