/**
 * The config of an image: what a container runs, and the digests of its layers. Only what a
 * conversion changes is looked at: every other field stays, known or not, in its order.
 */
import { corrupt } from '../errors.js';
import { parseDigest, type Platform } from './descriptor.js';
import { isObject, parseObject, toJson, type JsonObject } from './json.js';

export interface ImageConfig {
  value: JsonObject;
  diffIds: string[];
  history: JsonObject[];
  platform: Platform;
}

export const parseConfig = (bytes: Buffer, digest: string): ImageConfig => {
  const at = { config: digest };
  const value = parseObject(bytes, 'config', at);
  const { rootfs, history = [], architecture = '', os = '', variant } = value;
  if (!isObject(rootfs)) throw corrupt('the config of the image has no rootfs', at);
  const ids = rootfs.diff_ids ?? [];
  if (!Array.isArray(ids)) throw corrupt('the diff ids in the config are not a list', at);
  const diffIds = ids.map(id => {
    if (typeof id !== 'string') throw corrupt('a diff id in the config is not a string', at);
    parseDigest(id);
    return id;
  });
  const entries = history ?? [];
  if (!Array.isArray(entries) || !entries.every(isObject)) {
    throw corrupt('the history in the config is not a list of objects', at);
  }
  if (typeof architecture !== 'string' || typeof os !== 'string') {
    throw corrupt('the platform in the config is not made of strings', at);
  }
  const platform = {
    architecture,
    os,
    ...(typeof value['os.version'] === 'string' ? { 'os.version': value['os.version'] } : {}),
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
  };
  return { value, diffIds, history: entries, platform };
};

/** A config with other layers, as bytes. */
export const configBytes = (
  { value }: ImageConfig,
  { diffIds, history }: { diffIds: readonly string[]; history: readonly JsonObject[] },
): Buffer => {
  const made: JsonObject = {};
  for (const [key, old] of Object.entries(value)) {
    if (key === 'config' || key === 'container_config') made[key] = withoutImage(old);
    else made[key] = old;
  }
  // keys that are there keep their places
  made.rootfs = { ...(value.rootfs as JsonObject), type: 'layers', diff_ids: diffIds };
  made.history = history;
  return toJson(made);
};

/** Docker's `Image` names the image by its old layers. */
const withoutImage = (value: unknown): unknown => {
  if (!isObject(value)) return value;
  const { Image: _, ...rest } = value;
  return rest;
};

/** What stands in the history for the bootstrap layer. */
export const BOOTSTRAP_HISTORY: JsonObject = {
  created_by: 'Nydus Converter',
  comment: 'Nydus Bootstrap Layer',
};
export const EMPTY_LAYER_HISTORY: JsonObject = {
  created_by: 'Nydus Converter',
  comment: 'Nydus Empty Layer',
};
