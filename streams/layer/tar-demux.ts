import type { BytesPart } from '../../lib/model/parts.js';
import { Stage } from '../stage.js';
import { tarReader, type TarPart, type TarReaderOptions } from '../../lib/tar/reader.js';

/**
 * tar-demux: turns a tar into entries, each followed by its content if it is a file.
 *
 * takes bytes; makes entry, data (of files) and end; passes everything else
 * holds a header, and long names and PAX records of one entry: up to 1 MiB each
 */
export const tarDemux = <Other extends { kind: string } = never>(
  options: TarReaderOptions = {},
) => {
  const reader = tarReader(options);
  return new Stage<BytesPart | Other, TarPart | Other>('tar-demux', {
    // casts, since TypeScript does not narrow a generic union
    transform(part, push) {
      if (part.kind === 'bytes') return reader.part(part as BytesPart, push);
      push(part as Other);
      return undefined;
    },
    flush: () => reader.end(),
  });
};
