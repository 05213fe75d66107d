/**
 * Runs commands, each with its options. A command's modules are loaded when it is called, since
 * startup time depends on what is loaded.
 */
import { CONVERSIONS, conversionType } from '../../lib/config/conversions.js';
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext } from '../cli/context.js';
import { prestartWorkers } from '../cli/prestart-workers.js';
import { outputJson, writeOutputJson } from '../console/output-json.js';
import { growYoungSpace } from '../memory.js';

export const runCommand = async (
  invocation: Invocation,
  context: CommandContext,
): Promise<void> => {
  switch (invocation.command) {
    case 'create': {
      prestartWorkers(invocation);
      if (CONVERSIONS[conversionType(invocation.values.type)].mode === 'tarfs') growYoungSpace();
      const { create } = await import('./create.js');
      await create(invocation, context);
      break;
    }
    case 'convert': {
      const { convert } = await import('./convert.js');
      await convert(invocation, context);
      break;
    }
    case 'copy': {
      const { copy } = await import('./copy.js');
      await copy(invocation, context);
      break;
    }
    case 'merge': {
      growYoungSpace();
      const { merge } = await import('./merge.js');
      await merge(invocation, context);
      break;
    }
    case 'check': {
      const { values, positionals } = invocation;
      if (values.source !== undefined) {
        const { compare } = await import('./compare.js');
        await compare(invocation, context);
        break;
      }
      const { check } = await import('./check.js');
      const bootstrap = values.bootstrap ?? positionals[0]!; // the parser requires one of them
      const options = defined({
        blobDir: values['blob-dir'],
        config: values.config,
        backend: values,
        sha256: values.sha256?.replace(/^sha256:/, '').toLowerCase(),
      });
      const { verbose, strict, 'any-blob-id': anyBlobId } = values;
      // the old spelling, --bootstrap, never looks at data
      const blobsAccessible = values.bootstrap === undefined;
      const flags = { verbose, strict, anyBlobId, blobsAccessible };
      const result = await check({ ...options, ...flags, bootstrap }, context);
      const json = values['output-json'];
      if (json !== undefined) {
        writeOutputJson(json, outputJson(result, { pretty: false }), context);
      }
      break;
    }
    case 'inspect': {
      const { inspect } = await import('./inspect.js');
      const { values, positionals } = invocation;
      const bootstrap = values.bootstrap ?? positionals[0]!;
      const options = defined({
        blobDir: values['blob-dir'],
        config: values.config,
        request: values.request,
      });
      await inspect({ ...options, bootstrap }, context);
      break;
    }
    case 'stat': {
      const { stat } = await import('./stat.js');
      const { values } = invocation;
      const options = defined({
        bootstrap: values.bootstrap,
        blobDir: values['blob-dir'],
        target: values.target,
        config: values.config,
        digester: values.digester,
      });
      const json = values['output-json'];
      const statistics = await stat({ ...options, quiet: json !== undefined }, context);
      if (json !== undefined) writeOutputJson(json, JSON.stringify(statistics), context);
      break;
    }
    case 'report': {
      const { report } = await import('./report.js');
      await report(invocation, context);
      break;
    }
    case 'unpack': {
      const { unpack } = await import('./unpack.js');
      const { values, positionals } = invocation;
      const bootstrap = values.bootstrap ?? positionals[0]!;
      const { output, blob } = values;
      const options = defined({ blob, blobDir: values['blob-dir'], backend: values });
      await unpack({ ...options, bootstrap, output }, context);
      break;
    }
    case 'export': {
      const { exportBlock } = await import('./export.js');
      const { values } = invocation;
      const { verity, threads, compressor } = values;
      const options = defined({
        bootstrap: values.bootstrap,
        localfsDir: values['localfs-dir'],
        config: values.config,
        output: values.output,
        outputJson: values['output-json'],
      });
      await exportBlock({ ...options, verity, threads, compressor }, context);
      break;
    }
    case 'nbd': {
      const { nbd } = await import('./nbd.js');
      await nbd(invocation.values, context);
      break;
    }
    case 'compact': {
      const { compact } = await import('./compact.js');
      await compact(invocation, context);
      break;
    }
    case 'optimize': {
      const { optimize } = await import('./optimize.js');
      await optimize(invocation, context);
      break;
    }
    case 'chunkdict generate': {
      const { chunkdictGenerate } = await import('./chunkdict/generate.js');
      await chunkdictGenerate(invocation, context);
      break;
    }
  }
};

/** The options that were given. */
const defined = <T extends Record<string, unknown>>(
  options: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  // the filter does what the type says
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
