/** What is fuzzed: inputs to begin with, and what is done with a changed one. */
import { RafsError } from '../../lib/errors.js';
import type { FieldAt, Next } from './mutators.js';

export interface Seed {
  readonly name: string;
  readonly bytes: Buffer;
  /** places that mutators prefer */
  readonly fields: readonly FieldAt[];
}

export interface Target {
  readonly name: string;
  readonly seeds: () => Promise<readonly Seed[]> | readonly Seed[];
  /** how an input is changed, if not by fields and bytes */
  readonly change?: (seed: Seed, next: Next) => Buffer;
  /** Makes a changed input pass the first checks: sets checksums, compresses. */
  readonly repair?: (bytes: Buffer, seed: Seed, next: Next) => Buffer;
  /** Ends, or fails with a RafsError; anything else is a finding. A seed is not refused. */
  readonly run: (bytes: Buffer, next: Next) => Promise<void> | void;
}

/** For an input that is tried in several ways, of which some may refuse it. */
export const refusable = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch (error) {
    if (error instanceof RafsError) return undefined;
    throw error;
  }
};
