/** Tars made byte by byte, by code that shares nothing with the code under test. */
import { Buffer } from 'node:buffer';

export interface TarEntry {
  /** latin1; cut to what its field holds */
  name: string;
  /** type byte; '0', a file, unless given */
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  content?: Buffer | string;
  /** in the header, where it is not the length of the content */
  size?: number;
  link?: string;
  /** 'ustar' unless given */
  magic?: 'ustar' | 'gnu' | 'v7';
  /** POSIX prefix of the name */
  prefix?: string;
  /** device numbers; fields are blank where there is none */
  device?: [major: number, minor: number];
  /** PAX records, in a header of their own before this one; values as bytes or as latin1 */
  pax?: [key: string, value: Buffer | string][];
  /** changes the header before its checksum is made */
  patch?: (header: Buffer) => void;
}

const MAGIC = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '' };

const octal = (value: number, digits: number): string =>
  `${value.toString(8).padStart(digits, '0')}\0`;

/** Bytes as they are, text as latin1. */
const raw = (value: Buffer | string): Buffer =>
  typeof value === 'string' ? Buffer.from(value, 'latin1') : value;

/** Pads with zeros to whole blocks of 512 bytes. */
export const padded = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

/** A PAX record; its length counts itself. */
export const paxRecord = (key: string, value: Buffer | string): Buffer => {
  const rest = Buffer.concat([raw(` ${key}=`), raw(value), raw('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return Buffer.concat([raw(String(length)), rest]);
};

/** Writes the checksum of the header at `at`. */
export const setChecksum = (tar: Buffer, at = 0): void => {
  tar.fill(0x20, at + 148, at + 156);
  let sum = 0;
  for (let i = at; i < at + 512; i++) sum += tar[i]!;
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
};

/** A header of 512 bytes and its content, padded. */
export const memberOf = (entry: TarEntry): Buffer => {
  const { type = '0', magic = 'ustar', pax, patch, device, content = '' } = entry;
  const header = Buffer.alloc(512);
  const body = raw(content);
  header.write(entry.name, 0, 100, 'latin1');
  header.write(octal(entry.mode ?? 0o644, 7), 100, 'latin1');
  header.write(octal(entry.uid ?? 0, 7), 108, 'latin1');
  header.write(octal(entry.gid ?? 0, 7), 116, 'latin1');
  header.write(octal(entry.size ?? body.length, 11), 124, 'latin1');
  header.write(octal(entry.mtime ?? 0, 11), 136, 'latin1');
  header.write(type, 156, 1, 'latin1');
  header.write(entry.link ?? '', 157, 100, 'latin1');
  header.write(MAGIC[magic], 257, 'latin1');
  if (device) header.write(`${octal(device[0], 7)}${octal(device[1], 7)}`, 329, 'latin1');
  if (magic === 'ustar') header.write(entry.prefix ?? '', 345, 155, 'latin1');
  patch?.(header);
  setChecksum(header);
  const records = pax ? Buffer.concat(pax.map(([key, value]) => paxRecord(key, value))) : undefined;
  return Buffer.concat([
    records ? memberOf({ name: 'PaxHeaders/x', type: 'x', content: records }) : Buffer.alloc(0),
    header,
    padded(body),
  ]);
};

/** A tar of the entries, with its two blocks of zeros at the end unless `end` is false. */
export const tarOf = (entries: readonly TarEntry[], end = true): Buffer =>
  Buffer.concat([...entries.map(memberOf), Buffer.alloc(end ? 1024 : 0)]);

/** GNU tar's headers for a name or link target that is too long for its field. */
export const longName = (name: string, type: 'L' | 'K' = 'L'): TarEntry => ({
  name: '././@LongLink',
  type,
  magic: 'gnu',
  content: `${name}\0`,
});
