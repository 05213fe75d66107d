/** Writes a layer to standard output: `node make-layer.js NAME [SCALE [SEED]]`. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isLayerName, LAYERS, makeLayer } from './layers.js';

/** Joins small pieces: a million files are three million pieces. */
function* gathered(pieces: Iterable<Buffer>, size: number): Iterable<Buffer> {
  let held: Buffer[] = [];
  let length = 0;
  for (const piece of pieces) {
    held.push(piece);
    length += piece.length;
    if (length < size) continue;
    yield Buffer.concat(held);
    held = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(held);
}

const [name = '', scale = '1', seed = '1'] = process.argv.slice(2);
if (!isLayerName(name))
  throw new Error(`no layer '${name}'; there are ${Object.keys(LAYERS).join(', ')}`);
const layer = makeLayer(LAYERS[name], { scale: Number(scale), seed: Number(seed) });
await pipeline(Readable.from(gathered(layer, 0x40000), { highWaterMark: 2 }), process.stdout);
