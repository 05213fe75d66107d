/** Entries and their content as the parts that a demux makes of a layer. */
import type { DataPart, EndPart, EntryPart } from '../../../lib/model/parts.js';
import type { Entry, EntryType } from '../../../lib/model/entry.js';

export const entryOf = (type: EntryType, path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type,
  mode: type === 'directory' ? 0o755 : 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNsec: 0,
  size: 0,
  rdev: 0xffffffff,
  ...more,
});

/** An entry, its content in one piece, and its end. */
export const partsOf = (
  type: EntryType,
  path: string,
  { content, ...more }: Partial<Entry> & { content?: Buffer } = {},
): (EntryPart | DataPart | EndPart)[] => [
  { kind: 'entry', entry: entryOf(type, path, { size: content?.length ?? 0, ...more }) },
  ...(content && content.length > 0 ? [{ kind: 'data', bytes: content } as const] : []),
  { kind: 'end' },
];
