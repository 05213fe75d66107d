/** The files that a command line names, by what becomes of them. */
import path from 'node:path';
import { withExtension } from '../../lib/model/names.js';
import { parseImageName } from '../../streams/transport/open-transport.js';
import { refuseSameFile, type NamedFile } from '../../streams/files/same-file.js';
import type { FileRole, OptionRow, PositionalRow } from '../options/option-row.js';
import type { Invocation } from './command-line.js';
import { imageNames } from './image-names.js';
import { COMMANDS, GLOBALS } from './options.js';
import { logFile } from '../console/log.js';

/** Fails with USAGE if a file would be overwritten by another output, or while it is read. */
export const checkFiles = (invocation: Invocation): void => {
  const files = filesOf(invocation);
  const withRole = (role: FileRole): NamedFile[] => files.filter(file => file.role === role);
  refuseSameFile(withRole('output'), withRole('input'));
};

interface FileOfCommand extends NamedFile {
  role: FileRole;
}

const filesOf = (invocation: Invocation): FileOfCommand[] => {
  const { command, values, globals, positionals } = invocation;
  const { options, positional } = COMMANDS[command] as {
    options: Readonly<Record<string, OptionRow>>;
    positional?: PositionalRow;
  };
  const files: FileOfCommand[] = [];
  const add = (role: FileRole | undefined, name: string, file: unknown): void => {
    if (role && typeof file === 'string' && file !== '') files.push({ role, name, path: file });
  };
  const given: Readonly<Record<string, unknown>> = { ...values, ...globals };
  for (const [name, { file }] of Object.entries({ ...options, ...GLOBALS } as typeof options)) {
    add(file, `--${name}`, pathIn(name, given[name]));
  }
  for (const file of positionals) add(positional?.file, positional?.name ?? '', file);
  for (const [name, file] of derived(invocation)) add('output', name, file);
  if (command === 'convert' || command === 'copy') {
    const { source, target } = imageNames(values, positionals);
    add('input', 'SOURCE', archiveIn(source));
    if (!('dry-run' in values && values['dry-run'])) add('output', 'TARGET', archiveIn(target));
  }
  return files;
};

/** The path in the value of an option. */
const pathIn = (option: string, value: unknown): unknown => {
  if (typeof value !== 'string') return value;
  if (option === 'chunk-dict') return value.replace(/^bootstrap=/, '');
  if (option === 'database') return value.replace(/^sqlite:\/\//, '');
  return option === 'log-file' ? logFile(value) : value;
};

/** The file of an image in an archive; images elsewhere may be added to what they come from. */
const archiveIn = (name: string): string | undefined => {
  const { transport, location } = parseImageName(name);
  return transport.endsWith('-archive') ? location : undefined;
};

/** Outputs that are called after others. */
const derived = ({ command, values }: Invocation): [name: string, path: string | undefined][] => {
  switch (command) {
    case 'create': {
      const { bootstrap, type } = values;
      if (bootstrap === undefined || !/^(dir-rafs|directory)$/.test(type)) return [];
      return [['the bootstrap of external files', withExtension(bootstrap, 'external')]];
    }
    case 'compact':
      if (values['output-bootstrap'] !== undefined) return [];
      return [['the new bootstrap', withExtension(values.bootstrap, 'bootstrap.compact')]];
    case 'export': {
      const { output, bootstrap, 'localfs-dir': directory } = values;
      if (output !== undefined || bootstrap === undefined || directory === undefined) return [];
      return [['the disk image', path.join(directory, `${path.basename(bootstrap)}.disk`)]];
    }
    default:
      return [];
  }
};
