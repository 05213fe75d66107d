/**
 * A small reader of EROFS images as the documentation of EROFS and nydus describes them. It shares
 * nothing with the code under test and stops at whatever it finds wrong.
 */

export interface Walked {
  nid: number;
  ino: number;
  type: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNsec: number;
  size: number;
  nlink: number;
  layout: number;
  union1: number;
  xattrs: Map<string, Buffer>;
  target?: string;
  /** of a directory, in their order, with '.' and '..' */
  names?: string[];
  chunks?: { blobIndex: number; index: number; blkaddr: number }[];
}

export interface WalkedImage {
  blockSize: number;
  inodeCount: number;
  blocks: number;
  metaOffset: number;
  flags: bigint;
  chunkSize: number;
  chunkTable: Buffer;
  prefetchNids: number[];
  devices: { id: string; blocks: number; mappedBlkaddr: number }[];
  blobIds: string[];
  entries: Map<string, Walked>;
}

const wrong = (what: string): never => {
  throw new Error(`walker: ${what}`);
};

const u64 = (buf: Buffer, at: number): number => Number(buf.readBigUInt64LE(at));
const ceil = (value: number, unit: number): number => Math.floor((value + unit - 1) / unit) * unit;

const XATTR_PREFIX: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
};

/** The inline xattrs of an area that begins with its header. */
export const readXattrs = (area: Buffer, icount: number): Map<string, Buffer> => {
  const xattrs = new Map<string, Buffer>();
  if (icount === 0) return xattrs;
  const end = 12 + 4 * (icount - 1);
  if (end > area.length) wrong('xattrs beyond their area');
  if (area[4] !== 0) wrong('shared xattrs');
  let at = 12;
  while (at < end) {
    const nameSize = area[at]!;
    const prefix = XATTR_PREFIX[area[at + 1]!] ?? wrong(`xattr prefix ${area[at + 1]}`);
    const valueSize = area.readUInt16LE(at + 2);
    const valueAt = at + 4 + nameSize;
    if (valueAt + valueSize > end) wrong('xattr beyond its area');
    const name = prefix + area.toString('latin1', at + 4, valueAt);
    if (xattrs.has(name)) wrong(`xattr ${name} twice`);
    xattrs.set(name, area.subarray(valueAt, valueAt + valueSize));
    at = ceil(valueAt + valueSize, 4);
  }
  if (at !== end) wrong('xattr entries do not fill their area');
  return xattrs;
};

export interface WalkedDirent {
  name: string;
  nid: number;
  type: number;
}

/** The entries of a directory's data; checks order, offsets and blocks. */
export const readDirents = (data: Buffer, blockSize: number): WalkedDirent[] => {
  const entries: WalkedDirent[] = [];
  for (let from = 0; from < data.length; from += blockSize) {
    const block = data.subarray(from, Math.min(from + blockSize, data.length));
    const first = block.readUInt16LE(8);
    if (first < 12 || first % 12 !== 0) wrong(`first name at ${first}`);
    let due = first;
    for (let i = 0; i < first / 12; i++) {
      const nameAt = block.readUInt16LE(12 * i + 8);
      if (nameAt !== due) wrong(`name at ${nameAt}, not ${due}`);
      if (block[12 * i + 11] !== 0) wrong('reserved byte of an entry');
      let end =
        i + 1 < first / 12 ? block.readUInt16LE(12 * (i + 1) + 8) : block.indexOf(0, nameAt);
      if (end < 0) end = block.length;
      if (end <= nameAt || end - nameAt > 255) wrong(`name of ${end - nameAt} bytes`);
      entries.push({
        name: block.toString('latin1', nameAt, end),
        nid: u64(block, 12 * i),
        type: block[12 * i + 10]!,
      });
      due = end;
    }
    if (block.subarray(due).some(byte => byte !== 0)) wrong('bytes behind the last name');
  }
  entries.forEach(({ name }, i) => {
    if (i > 0 && !(entries[i - 1]!.name < name)) wrong(`'${name}' is out of order`);
    if (name.includes('/') || name.includes('\0')) wrong(`name '${name}'`);
  });
  return entries;
};

const FILE_TYPE: Readonly<Record<number, number>> = {
  0o100000: 1,
  0o040000: 2,
  0o020000: 3,
  0o060000: 4,
  0o010000: 5,
  0o140000: 6,
  0o120000: 7,
};

export const walkErofs = (image: Buffer): WalkedImage => {
  const sb = image.subarray(1024, 1152);
  if (sb.readUInt32LE(0) !== 0xe0f5e1e2) wrong('magic');
  const blockSize = 2 ** sb[12]!;
  const rootNid = sb.readUInt16LE(14);
  const metaOffset = sb.readUInt32LE(40) * blockSize;
  if (sb.readUInt32LE(80) !== 0xc) wrong('incompatible features');
  const deviceCount = sb.readUInt16LE(86);
  const deviceAt = sb.readUInt16LE(88) * 128;
  const ext = image.subarray(1152, 1408);
  const chunkSize = ext.readUInt32LE(20);
  const blobTable = image.subarray(u64(ext, 8), u64(ext, 8) + ext.readUInt32LE(16));
  const chunkTableOffset = u64(ext, 24);
  const chunkTable = image.subarray(chunkTableOffset, chunkTableOffset + u64(ext, 32));
  const prefetch = image.subarray(u64(ext, 40), u64(ext, 40) + ext.readUInt32LE(48));
  if (image.length % 4096 !== 0) wrong(`${image.length} bytes`);
  if (chunkTableOffset + u64(ext, 32) > image.length) wrong('chunk table beyond the image');
  const text = (buf: Buffer, at: number): string =>
    buf.toString('latin1', at, at + 64).replace(/\0+$/, '');

  /** what is taken, to see that nothing is taken twice */
  const ranges: [from: number, to: number, what: string][] = [];
  const inodes = new Map<number, Walked>();

  const inode = (nid: number): Walked => {
    const known = inodes.get(nid);
    if (known) return known;
    if (nid === 0) wrong('nid 0');
    const at = metaOffset + nid * 32;
    if (at + 64 > chunkTableOffset) wrong(`inode ${nid} beyond the inodes`);
    const format = image.readUInt16LE(at);
    if ((format & 1) !== 1 || format >> 4 !== 0) wrong(`format ${format}`);
    const layout = format >> 1;
    const icount = image.readUInt16LE(at + 2);
    const mode = image.readUInt16LE(at + 4);
    const size = u64(image, at + 8);
    const union1 = image.readUInt32LE(at + 16);
    const xattrSize = icount === 0 ? 0 : 12 + 4 * (icount - 1);
    const behind = at + 64 + xattrSize;
    const node: Walked = {
      nid,
      ino: image.readUInt32LE(at + 20),
      type: mode & 0o170000,
      mode: mode & 0o7777,
      uid: image.readUInt32LE(at + 24),
      gid: image.readUInt32LE(at + 28),
      mtime: u64(image, at + 32),
      mtimeNsec: image.readUInt32LE(at + 40),
      size,
      nlink: image.readUInt32LE(at + 44),
      layout,
      union1,
      xattrs: readXattrs(image.subarray(at + 64, behind), icount),
    };
    inodes.set(nid, node);
    if (node.type === 0o100000) {
      if (layout !== 4) wrong(`layout ${layout} of a file`);
      if ((union1 & ~0x1f) !== 0x20) wrong(`chunk format ${union1}`);
      const count = Math.ceil(size / chunkSize);
      const arrayAt = ceil(behind, 8);
      ranges.push([at, count === 0 ? behind : arrayAt + 8 * count, `file ${nid}`]);
      node.chunks = Array.from({ length: count }, (_, i) => {
        const word = image.readUInt16LE(arrayAt + 8 * i + 2);
        return {
          index: image.readUInt16LE(arrayAt + 8 * i) + (word >> 8) * 0x10000,
          blobIndex: (word & 0xff) - 1,
          blkaddr: image.readUInt32LE(arrayAt + 8 * i + 4),
        };
      });
    } else if (node.type === 0o040000 || node.type === 0o120000) {
      const tail = layout === 2 ? size % blockSize : 0;
      const whole = size - tail;
      if (layout === 2 && tail === 0) wrong('inline without a tail');
      if (layout !== 0 && layout !== 2) wrong(`layout ${layout}`);
      // what lies behind the inode must not cross the end of its block
      const blockOf = (offset: number): number => Math.floor(offset / blockSize);
      if (tail > 0 && blockOf(behind) !== blockOf(behind + tail - 1)) wrong('tail crosses a block');
      ranges.push([at, behind + tail, `inode ${nid}`]);
      const dataAt = union1 * blockSize;
      if (whole > 0) ranges.push([dataAt, dataAt + ceil(whole, blockSize), `data of ${nid}`]);
      const data = Buffer.concat([
        image.subarray(dataAt, dataAt + whole),
        image.subarray(behind, behind + tail),
      ]);
      if (data.length !== size) wrong(`${data.length} bytes of ${size}`);
      if (node.type === 0o120000) node.target = data.toString('latin1');
      else node.names = readDirents(data, blockSize).map(({ name }) => name);
    } else {
      if (layout !== 0) wrong(`layout ${layout} of a special file`);
      ranges.push([at, behind, `inode ${nid}`]);
    }
    return node;
  };

  const direntsOf = (node: Walked): WalkedDirent[] => {
    const behind =
      metaOffset +
      node.nid * 32 +
      64 +
      (node.xattrs.size === 0 ? 0 : image.readUInt16LE(metaOffset + node.nid * 32 + 2) * 4 + 8);
    const tail = node.layout === 2 ? node.size % blockSize : 0;
    const dataAt = node.union1 * blockSize;
    return readDirents(
      Buffer.concat([
        image.subarray(dataAt, dataAt + node.size - tail),
        image.subarray(behind, behind + tail),
      ]),
      blockSize,
    );
  };

  const entries = new Map<string, Walked>();
  const stack: [path: string, nid: number, parent: number][] = [['', rootNid, rootNid]];
  while (stack.length > 0) {
    const [path, nid, parent] = stack.pop()!;
    const node = inode(nid);
    if (node.type !== 0o040000) wrong(`'${path}' is not a directory`);
    entries.set(path, node);
    for (const { name, nid: child, type } of direntsOf(node)) {
      const childNode = inode(child);
      if (FILE_TYPE[childNode.type] !== type) wrong(`type of '${path}/${name}'`);
      if (name === '.') {
        if (child !== nid) wrong(`'.' of '${path}'`);
      } else if (name === '..') {
        if (child !== parent) wrong(`'..' of '${path}'`);
      } else {
        const childPath = path === '' ? name : `${path}/${name}`;
        if (type === 2) stack.push([childPath, child, nid]);
        else entries.set(childPath, childNode);
      }
    }
    if (!node.names!.includes('.') || !node.names!.includes('..')) wrong(`dots of '${path}'`);
  }
  ranges.sort(([a], [b]) => a - b);
  ranges.forEach(([from, to, what], i) => {
    if (from < metaOffset + 4096 || to > chunkTableOffset)
      wrong(`${what} lies at ${from} to ${to}`);
    if (i > 0 && ranges[i - 1]![1] > from) wrong(`${what} overlaps ${ranges[i - 1]![2]}`);
  });

  return {
    blockSize,
    inodeCount: u64(sb, 16),
    blocks: sb.readUInt32LE(36),
    metaOffset,
    flags: ext.readBigUInt64LE(0),
    chunkSize,
    chunkTable,
    prefetchNids: Array.from({ length: prefetch.length / 4 }, (_, i) =>
      prefetch.readUInt32LE(4 * i),
    ),
    devices: Array.from({ length: deviceCount }, (_, i) => {
      const at = deviceAt + 128 * i;
      return {
        id: text(image, at),
        blocks: image.readUInt32LE(at + 64),
        mappedBlkaddr: image.readUInt32LE(at + 68),
      };
    }),
    blobIds: Array.from({ length: blobTable.length / 256 }, (_, i) => text(blobTable, 256 * i)),
    entries,
  };
};
