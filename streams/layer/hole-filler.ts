/**
 * hole-filler: writes out the holes of sparse files, for readers that want every byte.
 *
 * takes hole, makes data, passes everything else
 * holds 64 KiB of zeros, which all holes share
 */
import type { DataPart, HolePart } from '../../lib/model/parts.js';
import type { TarPart } from '../../lib/tar/reader.js';
import { Stage } from '../stage.js';

/** Receivers must not write to it. */
const ZEROS = Buffer.alloc(0x10000);

export const holeFiller = () =>
  new Stage<TarPart, Exclude<TarPart, HolePart>>('hole-filler', {
    transform(part, push) {
      if (part.kind === 'hole') return zeros(part.size);
      push(part);
      return undefined;
    },
  });

function* zeros(size: number): Iterable<DataPart> {
  for (let left = size; left > 0; left -= ZEROS.length) {
    yield { kind: 'data', bytes: left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS };
  }
}
