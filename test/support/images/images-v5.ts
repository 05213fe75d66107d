/** Random layers as v5 images: by the writer, and by the words of the format. */
import { planV5, type PlanV5 } from '../../../lib/bootstrap/v5/plan.js';
import { emitV5 } from '../../../lib/bootstrap/v5/emit.js';
import type { Entry } from '../../../lib/model/entry.js';
import { imageOf, type ImageCase, type ImageOptions } from './images.js';
import { linkedPaths, modelV5 } from '../model/model-v5.js';

/** No compression, sha256, explicit owners. */
export const FLAGS_V5 = 0x19;

export interface ImageCaseV5 extends ImageCase {
  linked: Set<string>;
}

export const imageOfV5 = (entries: readonly Entry[], options: ImageOptions = {}): ImageCaseV5 => ({
  ...imageOf(entries, options),
  linked: linkedPaths(entries),
});

export const planOfV5 = ({ tree, chunks, blobs, options }: ImageCase): PlanV5 =>
  planV5(tree, chunks, blobs, {
    chunkSize: options.chunkSize,
    flags: FLAGS_V5,
    prefetch: options.prefetch ?? [],
  });

export const written = (made: ImageCase): Buffer => Buffer.concat([...emitV5(planOfV5(made))]);

export const due = ({ model, placed, blobs, options, linked }: ImageCaseV5): Buffer =>
  modelV5({
    root: model.root,
    placed,
    blobs,
    chunkSize: options.chunkSize,
    flags: FLAGS_V5,
    prefetch: options.prefetch ?? [],
    linked,
  });
