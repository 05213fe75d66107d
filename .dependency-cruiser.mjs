/**
 * What may import what: programs use streams, streams use rules, never back; within each, rooms
 * import only those listed after them. ARCHITECTURE.md says what is in them.
 */

/** From the top to the bottom. */
const ROOMS = {
  bin: [
    ...['rafs-stream.ts', 'main.ts', 'commands', 'cli', 'options', 'console'],
    ...['code-cache.ts', 'engines.ts', 'memory.ts', 'signals.ts', 'v8-flags.ts', 'version.ts'],
  ],
  streams: [
    ...[
      'index.ts',
      'stages.ts',
      'report',
      'nydus',
      'convert',
      'transport',
      'nbd',
      'rewrite',
      'image',
    ],
    ...[
      'storage',
      'registry',
      'http',
      'pipelines.ts',
      'device',
      'reference',
      'build',
      'layer',
      'read',
      'threads',
      'io',
      'files',
    ],
    ...['stage.ts', 'batch.ts'],
  ],
  lib: [
    ...[
      'formats.ts',
      'report',
      'chunkdict',
      'image',
      'device',
      'erofs',
      'bootstrap',
      'tree',
      'config',
    ],
    ...['oci', 'blob', 'chunk', 'layer', 'tar', 'compress', 'layout', 'memory', 'crypto'],
    ...['model', 'errors.ts'],
  ],
};

const escaped = name => name.replaceAll('.', '\\.');
const pathOf = (top, name) =>
  name.endsWith('.ts') ? `^${top}/${escaped(name)}$` : `^${top}/${name}/`;

const downwards = Object.entries(ROOMS).flatMap(([top, rooms]) =>
  rooms.slice(1).map((room, i) => ({
    name: `${top}/${room} is below ${top}/${rooms[i]}`,
    severity: 'error',
    from: { path: pathOf(top, room) },
    to: { path: rooms.slice(0, i + 1).map(above => pathOf(top, above)) },
  })),
);

const listed = Object.entries(ROOMS).map(([top, rooms]) => ({
  name: `every room of ${top} has its place in the list`,
  severity: 'error',
  from: { path: `^${top}/`, pathNot: rooms.map(room => pathOf(top, room)) },
  to: {},
}));

/** Modules of Node by which something reaches outside. */
const IO = '^(fs|net|http|https|http2|tls|dgram|stream|child_process|worker_threads)($|/)';

export default {
  forbidden: [
    ...downwards,
    ...listed,
    {
      name: 'no circle',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'streams do not know the program',
      severity: 'error',
      from: { path: '^streams/' },
      to: { path: '^bin/' },
    },
    {
      name: 'rules know neither streams nor the program',
      severity: 'error',
      from: { path: '^lib/' },
      to: { path: '^(streams|bin)/' },
    },
    {
      name: 'rules do no I/O and know no stream',
      severity: 'error',
      // our own WebAssembly is read where it is loaded
      from: { path: '^lib/', pathNot: '^lib/compress/wasm\\.ts$' },
      to: { path: [IO, '^node_modules/(stream-chain|undici)/'] },
    },
    {
      name: 'sources do not know their tests',
      severity: 'error',
      from: { path: '^(bin|lib|streams)/' },
      to: { path: '^(test|benchmarks)/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true, // types, too
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
