/** Layers for tests: those of the fixtures, and ones made from a seed. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { LAYERS, makeLayer, type LayerName, type MakeOptions } from '../../../benchmarks/layers.js';

const ROOT = fileURLToPath(new URL('../../../../test/fixtures/layers/', import.meta.url));

/** Path of a file of the fixtures, such as 'kinds.tar.gz'. */
export const layerPath = (file: string): string => path.join(ROOT, file);

export const layerFiles = (): string[] => fs.readdirSync(ROOT).sort();

/** The tar of a gzipped layer. */
export const layerTar = (name: string): Buffer =>
  gunzipSync(fs.readFileSync(layerPath(`${name}.tar.gz`)));

/** A made layer as one tar. */
export const madeTar = (name: LayerName, options: MakeOptions): Buffer =>
  Buffer.concat([...makeLayer(LAYERS[name], options)]);
