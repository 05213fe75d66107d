/** create: builds a layer from a directory or a tar. */
import fs from 'node:fs';
import path from 'node:path';
import { parseAttributes, type Attributes } from '../../lib/layer/attributes.js';
import { planBuild, type BuildOptions } from '../../lib/config/build.js';
import { located, RafsError } from '../../lib/errors.js';
import { parseOwner, parseTime, type Overrides } from '../../lib/layer/overrides.js';
import {
  buildLayer,
  kindOf,
  releaseUnopened,
  type BuiltLayer,
  type LayerGiven,
} from '../../streams/image/build-layer.js';
import { readSmallFile } from '../../streams/io/small-file.js';
import type { Call } from '../cli/command-line.js';
import type { CommandContext, Run } from '../cli/context.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { logFile } from '../console/log.js';
import { showProgress } from '../console/progress.js';
import type { Values } from '../cli/options.js';
import { readPatterns } from '../cli/read-patterns.js';
import { growYoungSpace } from '../memory.js';

export const run: Run<'create'> = async (call, context) => {
  const { log, signal, fsync } = context;
  const given = await plan(call, context);
  if (given.build.mode === 'tarfs') growYoungSpace();
  const { workers } = call.values;
  const built = await showProgress({ title: 'create', context }, onProgress =>
    buildLayer({
      ...given,
      ownFiles: ownFiles(call),
      workers,
      signal,
      fsync,
      log,
      onProgress,
    }),
  );
  report(given.build, built, context);
};

/** What is recorded instead of what the file system says; only of directories. */
const overridesOf = (
  { owner, 'mtime-clamp': clamp }: Values<'create'>,
  { source }: BuildOptions,
): Overrides => {
  if (source !== 'dir') {
    if (owner === undefined && clamp === undefined) return {};
    const message = '--owner and --mtime-clamp are for directories: a tar says both itself';
    throw new RafsError('UNSUPPORTED', message);
  }
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  const clamped = clamp ?? (epoch || undefined);
  return {
    ...(owner === undefined ? {} : { owner: parseOwner(owner) }),
    ...(clamped === undefined
      ? {}
      : { mtimeClamp: parseTime(clamped, clamp ? '--mtime-clamp' : 'SOURCE_DATE_EPOCH') }),
  };
};

/** What the program writes besides the layer. */
const ownFiles = ({ values, globals }: Call<'create'>): string[] => {
  const log = globals['log-file'];
  return [values['output-json'], log === undefined ? undefined : logFile(log)].filter(
    file => file !== undefined,
  );
};

/** Decides what is to be built. If that fails, no peer is left waiting at a FIFO that was named. */
const plan = async (
  { values, explicit, positionals }: Call<'create'>,
  { log }: CommandContext,
): Promise<Pick<LayerGiven, 'build' | 'prefetch' | 'attributes' | 'overrides'>> => {
  const source = positionals[0]!; // the parser requires it
  try {
    const { patterns, warnings } = await readPatterns(values['prefetch-policy']);
    const build = planBuild({ values, explicit, source, kindOf });
    const attributes = await readAttributes(build, message => log.warn(message));
    if (build.paths.outputJson !== undefined) checkTarget(build.paths.outputJson);
    for (const notice of build.notices) log.info(notice);
    for (const warning of warnings) log.warn(warning);
    return { build, prefetch: patterns, attributes, overrides: overridesOf(values, build) };
  } catch (error) {
    const named = [values.blob, values.bootstrap, values['external-blob'], source];
    await releaseUnopened(new Set(named.filter(one => one !== undefined)), source);
    throw error;
  }
};

/** Checks early that a file can be written at the end. Fails with the system's error. */
const checkTarget = (target: string): void => {
  const there = fs.statSync(target, { throwIfNoEntry: false });
  if (there?.isDirectory())
    fs.closeSync(fs.openSync(target, 'r+')); // EISDIR
  else fs.accessSync(there ? target : path.dirname(target), fs.constants.W_OK);
};

/** The attributes of external files; undefined if the build does not look for such files. */
const readAttributes = async (
  { paths: { attributes: file }, source }: BuildOptions,
  warn: (message: string) => void,
): Promise<Attributes | undefined> => {
  if (file === undefined) return undefined;
  try {
    const attributes = parseAttributes(await readSmallFile(file));
    if (source === 'dir') return attributes;
  } catch (error) {
    throw located(error, { file });
  }
  warn('--attributes is of no use here: only files of a directory can be external');
  return undefined;
};

const report = (
  build: BuildOptions,
  { blobs, externalBlobs, blobSize, paths: { bootstrap, external } }: BuiltLayer,
  context: CommandContext,
): void => {
  if (build.paths.outputJson !== undefined) {
    const result = {
      bootstrap: bootstrap ?? '',
      blobs,
      externalBootstrap: external ?? '',
      externalBlobs,
      fsVersion: build.fsVersion,
      compressor: build.compressor,
    };
    writeOutputJson(build.paths.outputJson, outputJson(result, { pretty: true }), context);
  }
  context.log.info(
    [
      'successfully built RAFS filesystem: ',
      `meta blob path: ${bootstrap ?? '<none>'}`,
      `data blob size: 0x${blobSize.toString(16)}`,
      `data blobs: [${quoted(blobs)}]`,
      ...(externalBlobs.length === 0
        ? []
        : [
            `external meta blob path: ${external ?? '<none>'}`,
            `external data blobs: [${quoted(externalBlobs)}]`,
            ...(build.fsVersion === 6
              ? ['nydusd mounts external files of RAFS v6, but cannot read their content']
              : []),
          ]),
    ].join('\n'),
  );
};

const quoted = (ids: readonly string[]): string => ids.map(id => `"${id}"`).join(', ');
