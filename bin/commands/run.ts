/**
 * Runs commands. Each is the file of its name in this folder (`chunkdict/generate.ts` is that of
 * `chunkdict generate`) and is loaded when it is called, since startup time depends on what is
 * loaded.
 */
import type { Invocation } from '../cli/command-line.js';
import type { CommandContext, Run } from '../cli/context.js';
import type { CommandName } from '../cli/options.js';
import { prestartWorkers } from '../cli/prestart-workers.js';

export const runCommand = async (call: Invocation, context: CommandContext): Promise<void> => {
  if (call.command === 'create') prestartWorkers(call);
  const { run } = await commandOf(call.command);
  await run(call, context);
};

/** The module of a command. */
export const commandOf = (name: CommandName): Promise<{ run: Run<CommandName> }> =>
  // a test loads the module of every command
  import(`./${name.replace(' ', '/')}.js`) as Promise<{ run: Run<CommandName> }>;
