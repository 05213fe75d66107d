/**
 * observer: shows bytes to a witness as they pass.
 *
 * takes bytes, passes everything
 * holds nothing
 */
import type { BytesPart } from '../../lib/model/parts.js';
import { Stage } from '../stage.js';

/** Is shown the bytes of a tar in order; must not keep them. */
export type Witness = (bytes: Buffer) => void;

export const observer = (witness: Witness) =>
  new Stage<BytesPart, BytesPart>('observer', {
    transform(part, push) {
      witness(part.bytes);
      push(part);
    },
  });
