/** What a node that has one image has to fetch for another. */
import type { UsedChunk } from './image-report.js';
import type { PullCost } from './report.js';

/** Pairs of images, each from a node's view: it has `from` and pulls `to`. */
export const pullCosts = (images: readonly (readonly UsedChunk[])[]): PullCost[] => {
  const places = images.map(chunks => new Set(chunks.map(({ place }) => place)));
  const contents = images.map(chunks => new Set(chunks.map(({ content }) => content)));
  return images.flatMap((_, from) =>
    images.flatMap((chunks, to) => {
      if (from === to) return [];
      const cost = { from, to, chunks: 0, bytes: 0, known: { chunks: 0, bytes: 0 } };
      for (const { place, content, stored } of chunks) {
        if (places[from]!.has(place)) continue;
        cost.chunks += 1;
        cost.bytes += stored;
        if (content === '' || !contents[from]!.has(content)) continue;
        cost.known.chunks += 1;
        cost.known.bytes += stored;
      }
      return [cost];
    }),
  );
};
