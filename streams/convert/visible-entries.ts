/**
 * visible-entries: the visible entries of an image, read from the topmost layer down.
 *
 * makes entry, data and end
 * holds one batch, and a mark for each visible path
 *
 * Content of a name that is hidden passes before a visible hardlink to it can be known. A layer with
 * such a link is read a second time, for these contents.
 */
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { located, RafsError } from '../../lib/errors.js';
import { TopDownView, type LinkOrigin } from '../../lib/layer/top-down-view.js';
import type { Entry } from '../../lib/model/entry.js';
import type { DataPart, EndPart, EntryPart } from '../../lib/model/parts.js';
import { parseDigest, type Descriptor } from '../../lib/oci/descriptor.js';
import type { Batch } from '../batch.js';
import { entriesFromTar } from '../pipelines.js';
import type { ImageSource } from '../transport/source.js';
import type { LayerCounters } from './convert-layer.js';
import { openLayerSource } from '../transport/layer-source.js';

type Part = EntryPart | DataPart | EndPart;

/** A layer of an image, and how far it has been read. */
export interface ViewedLayer {
  layer: Descriptor;
  diffId: string;
  counters: LayerCounters;
  /** is told what of the layer is left out or changed */
  warn: (message: string) => void;
  onBegin: () => void;
  onEnd: () => void;
}

/** A visible name whose content is in a lower layer. */
interface Awaited {
  entry: Entry;
  path: string;
}

/** @param layers the topmost first */
export async function* visibleEntries(
  source: ImageSource,
  layers: readonly ViewedLayer[],
  signal: AbortSignal,
): AsyncGenerator<Batch<Part>> {
  const view = new TopDownView();
  let awaited: Awaited[] = [];
  for (const viewed of layers) {
    viewed.onBegin();
    view.beginLayer();
    const links = new LinksOfLayer();
    try {
      yield* visibleInLayer(source, viewed, view, links, signal);
      const batch: Part[] = [];
      awaited = awaited.filter(({ entry, path }) => {
        const origin = view.originOf(path);
        if (origin.kind === 'below') {
          if (view.hidesBelow(path)) throw missing(entry, path);
          return true;
        }
        links.add(entry, origin, batch);
        return false;
      });
      if (batch.length > 0) yield batch;
      if (links.contents.size > 0) yield* contentsOf(source, viewed.layer, links.contents, signal);
    } catch (error) {
      throw located(error, { layer: viewed.layer.digest });
    }
    awaited.push(...links.below);
    viewed.onEnd();
  }
  const [lost] = awaited;
  if (lost) throw missing(lost.entry, lost.path);
}

const missing = ({ path }: Entry, target: string): RafsError =>
  new RafsError('CORRUPT', `the target of a hardlink does not exist: '${target}'`, { path });

/** Hardlinks of a layer by where their content is. */
class LinksOfLayer {
  /** entries that are read again, by their numbers, and the names that get their content */
  readonly contents = new Map<number, Map<string, Entry>>();
  readonly #below = new Map<string, Awaited>();
  readonly #numbers = new Map<string, number>();

  get below(): Iterable<Awaited> {
    return this.#below.values();
  }

  /** Takes a visible link; one whose target is visible here goes into the batch. */
  add(entry: Entry, origin: LinkOrigin, batch: Part[]): void {
    this.drop(entry.path);
    if (origin.kind === 'path') {
      batch.push({ kind: 'entry', entry: { ...entry, target: origin.path } }, { kind: 'end' });
    } else if (origin.kind === 'below') {
      this.#below.set(entry.path, { entry, path: origin.path });
    } else {
      const names = this.contents.get(origin.number) ?? new Map<string, Entry>();
      this.contents.set(origin.number, names.set(entry.path, entry));
      this.#numbers.set(entry.path, origin.number);
    }
  }

  /** Another object of the layer takes the name. */
  drop(path: string): void {
    this.#below.delete(path);
    const number = this.#numbers.get(path);
    if (number === undefined) return;
    this.#numbers.delete(path);
    const names = this.contents.get(number)!; // it has that name
    names.delete(path);
    if (names.size === 0) this.contents.delete(number);
  }
}

async function* visibleInLayer(
  source: ImageSource,
  { layer, diffId, counters, warn }: ViewedLayer,
  view: TopDownView,
  links: LinksOfLayer,
  signal: AbortSignal,
): AsyncGenerator<Batch<Part>> {
  const due = parseDigest(diffId);
  const hash = createHash(due.algorithm);
  let passing = false;
  const witness = (bytes: Buffer): void => void hash.update(bytes);
  for await (const batch of entriesOf(source, layer, signal, { witness, counters, warn })) {
    const passed: Part[] = [];
    for (const part of batch) {
      if (part.kind !== 'entry') {
        if (passing) passed.push(part);
        continue;
      }
      const { entry } = part;
      const seen = view.add(entry);
      passing = seen.kind === 'visible';
      if (passing) {
        links.drop(entry.path);
        passed.push(part);
      } else if (seen.kind === 'link') {
        const { origin } = seen;
        if (origin.kind === 'below' && view.hidesBelow(origin.path)) {
          throw missing(entry, origin.path);
        }
        links.add(entry, origin, passed);
      }
    }
    if (passed.length > 0) yield passed;
  }
  const found = hash.digest('hex');
  if (found === due.hex) return;
  throw new RafsError(
    'MISMATCH',
    `expected the tar of a layer to have digest ${due.hex}, got ${found}`,
  );
}

/** Reads a layer again, for the content of some of its entries. */
async function* contentsOf(
  source: ImageSource,
  layer: Descriptor,
  wanted: ReadonlyMap<number, ReadonlyMap<string, Entry>>,
  signal: AbortSignal,
): AsyncGenerator<Batch<Part>> {
  let number = -1;
  let left = wanted.size;
  let names: readonly Entry[] = [];
  for await (const batch of entriesOf(source, layer, signal)) {
    const passed: Part[] = [];
    for (const part of batch) {
      if (part.kind === 'entry') {
        number += 1;
        names = [...(wanted.get(number)?.values() ?? [])];
        if (names.length > 0)
          passed.push({ kind: 'entry', entry: { ...part.entry, path: names[0]!.path } });
      } else if (names.length > 0) {
        passed.push(part);
        if (part.kind !== 'end') continue;
        const [first, ...others] = names as [Entry, ...Entry[]]; // at least one is there
        for (const entry of others) {
          passed.push({ kind: 'entry', entry: { ...entry, target: first.path } }, { kind: 'end' });
        }
        names = [];
        left -= 1;
      }
    }
    if (passed.length > 0) yield passed;
    if (left === 0) return;
  }
}

/** The entries of a layer with their content. */
async function* entriesOf(
  source: ImageSource,
  layer: Descriptor,
  signal: AbortSignal,
  watch: Partial<Pick<ViewedLayer, 'counters' | 'warn'>> & {
    witness?: (bytes: Buffer) => void;
  } = {},
): AsyncGenerator<Batch<Part>> {
  const input = await openLayerSource(source, layer, signal);
  const { stream, compression } = input;
  const { counters, ...seen } = watch;
  const stages = entriesFromTar({ compression, ...seen });
  const work = pipeline(stream, stages, { signal });
  work.catch(() => undefined); // seen where the entries are read
  try {
    for await (const batch of stages as AsyncIterable<Batch<Part>>) {
      if (counters) counters.bytesIn = input.bytesRead;
      yield batch;
    }
    await work;
  } finally {
    stages.destroy();
    stream.destroy();
  }
}
