/** Options of commands that make an image a disk. */
import type { CommandRow } from './option-row.js';
import { CONFIG, OUTPUT_JSON, BACKEND, wholeNumber } from './shared.js';

const EXPORT = {
  about: 'Make a disk image from a bootstrap and its blobs',
  options: {
    block: { flag: true, required: true, about: 'Make an image for a block device' },
    bootstrap: {
      short: 'B',
      file: 'input',
      requires: ['localfs-dir'],
      about: 'Bootstrap of the image',
    },
    'localfs-dir': {
      short: 'D',
      requires: ['bootstrap'],
      conflicts: ['config'],
      about: 'Directory with the blobs',
    },
    config: { short: 'C', file: 'input', about: 'File with the description of a blob cache entry' },
    output: {
      short: 'O',
      file: 'output',
      requiredUnless: ['localfs-dir'],
      defaultText: 'in --localfs-dir, the name of the bootstrap and .disk',
      about: 'File for the image',
    },
    compressor: {
      values: ['none', 'lz4', 'zstd'],
      default: 'none',
      about: 'Make a single image with EROFS compression instead of mapping blobs',
    },
    threads: {
      number: {
        low: 1,
        high: 1024,
        malformed: text => `invalid thread number configuration: ${text}`,
        outside: value => `invalid thread number ${value}, valid range: [1-1024]`,
      },
      default: '4',
      about: 'Threads that work on the image, at most 32',
    },
    verity: {
      flag: true,
      requires: ['block'],
      about: 'Append the hash tree of dm-verity and print the options to set it up',
    },
    'verity-salt': {
      requires: ['verity'],
      about: 'Hash these bytes before each block: up to 256, in hex',
    },
    'verity-superblock': {
      flag: true,
      requires: ['verity'],
      about: 'Put a superblock before the tree, in which veritysetup finds how it was made',
    },
    uuid: { flag: true, about: 'Give the image a UUID, made of its content' },
    'output-json': OUTPUT_JSON,
  },
} as const satisfies CommandRow;

const NBD = {
  about: 'Serve the disk image of a bootstrap and its blobs to NBD clients until stopped',
  options: {
    bootstrap: { short: 'B', file: 'input', required: true, about: 'Bootstrap of the image' },
    'blob-dir': {
      short: 'D',
      requiredUnless: ['config', 'backend-type'],
      conflicts: ['config', 'backend-type'],
      about: 'Directory with the blobs',
    },
    config: { ...CONFIG, conflicts: ['backend-type'] },
    ...BACKEND,
    uuid: { flag: true, about: 'Give the image a UUID, made of its content' },
    socket: {
      requiredUnless: ['port'],
      conflicts: ['port'],
      about: 'Unix socket to make and listen on',
    },
    port: {
      number: wholeNumber(0, 0xffff),
      about: 'TCP port of 127.0.0.1 to listen on; 0 picks a free one',
    },
    'cache-size': {
      number: wholeNumber(0, 2 ** 40),
      default: '67108864',
      about: 'Bytes of decompressed chunks to keep in memory',
    },
  },
} as const satisfies CommandRow;

/** By the words that call them. */
export const DISKS = {
  export: EXPORT,
  nbd: NBD,
};
