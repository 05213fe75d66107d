/**
 * meter: counts the entries that pass, for the progress display.
 *
 * passes everything
 * holds nothing
 */
import { Stage } from '../stage.js';

export const meter = (counters: { files: number }) =>
  new Stage<{ kind: string }, { kind: string }>('meter', {
    transform(part, push) {
      if (part.kind === 'entry') counters.files++;
      push(part);
    },
  });
