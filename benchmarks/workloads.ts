/** What is measured: each work is done by us and by its peers, on the same input. */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { finished } from './measure.js';
import { shell, type Form, type Layer, type Sources } from './sources.js';

const ROOT = new URL('../../', import.meta.url);
export const OURS: readonly string[] = [
  process.execPath,
  fileURLToPath(new URL('dist/bin/rafs-stream.js', ROOT)),
];

/** Where a work finds its input and leaves its output. */
export interface Place {
  /** path of the layer, in the form that the work takes; empty for a work that takes none */
  source: string;
  /** directory with what `prepare` has made */
  inputs: string;
  /** directory that is empty before every run */
  out: string;
}

export interface Peer {
  name: string;
  command: (place: Place) => string[];
}

export interface Work {
  layer: Layer;
  /** of the layer; none for a work that does not take it */
  form?: Form;
  task: string;
  /** makes inputs, once, outside the measured time */
  prepare?: (place: Omit<Place, 'out'>) => Promise<void>;
  ours: (place: Place) => string[];
  peers: Peer[];
  /** the output file in `out`: its size is reported, and whether a peer's has the same bytes */
  made?: string;
}

export const nameOf = ({ layer, form, task }: Work): string =>
  [layer.name, form, task].filter(Boolean).join(' ');

/** Paths of the programs to compare with; variables name them, mkfs.erofs may be on the PATH. */
export interface Peers {
  nydusImage: string | undefined;
  mkfsErofs: string | undefined;
}

/** The peers that the environment provides, and why others are missing. */
export const peersOf = (env: NodeJS.ProcessEnv): { peers: Peers; missing: string[] } => {
  const missing: string[] = [];
  const nydusImage = env.NYDUS_IMAGE || undefined;
  if (nydusImage === undefined) missing.push('nydus-image: NYDUS_IMAGE does not name it');
  else if (!existsSync(nydusImage)) throw new Error(`no ${nydusImage}`);
  const mkfs = env.MKFS_EROFS ?? 'mkfs.erofs';
  const help = spawnSync(mkfs, ['--help'], { encoding: 'utf8' });
  const mkfsErofs = !help.error && help.stdout.includes('--tar=') ? mkfs : undefined;
  if (!mkfsErofs) missing.push('mkfs.erofs: MKFS_EROFS names none that reads tars (1.7 or later)');
  return { peers: { nydusImage, mkfsErofs }, missing };
};

const TYPES: Readonly<Record<Form, string>> = {
  tar: 'tar-rafs',
  'tar.gz': 'targz-rafs',
  directory: 'dir-rafs',
  fifo: 'tar-rafs',
};

/** Used instead of the tar's sha256 where a blob id is given; exports find the tar under it. */
const BLOB_ID = 'b10b'.repeat(16);
const LAYERS_MERGED = 10;

export const worksOf = (layer: Layer, peers: Peers, sources: Sources): Work[] =>
  layer.tasks.flatMap(task => {
    switch (task) {
      case 'native':
        return layer.forms.flatMap(form => [
          native(layer, form, 'zstd', peers),
          native(layer, form, 'lz4_block', peers),
          native(layer, form, 'none', peers),
        ]);
      case 'zstd':
        return layer.forms.map(form => native(layer, form, 'zstd', peers));
      case 'batches':
        return [batches(layer, peers)];
      case 'zran':
        return [zran(layer, peers)];
      case 'tarfs':
        return [tarfs(layer, peers, false), tarfs(layer, peers, true)];
      case 'export':
        return [
          blockExport(layer, peers, false),
          blockExport(layer, peers, true),
          compressedExport(layer, peers),
        ];
      case 'unpack':
        return [unpack(layer, peers)];
      case 'check':
        return [check(layer, peers)];
      case 'merge':
        return [merge(layer, peers, sources)];
      case 'version':
        return [version(layer, peers)];
    }
  });

/** Both builders get the same arguments. */
const builders = (
  { nydusImage }: Peers,
  argv: (place: Place) => string[],
): Pick<Work, 'ours' | 'peers'> => ({
  ours: place => [...OURS, ...argv(place)],
  peers: nydusImage
    ? [{ name: 'nydus-image', command: place => [nydusImage, ...argv(place)] }]
    : [],
});

const mkfs = ({ mkfsErofs }: Peers, ...argv: string[]): Peer[] =>
  mkfsErofs
    ? [
        {
          name: `mkfs.erofs ${argv.join(' ')}`,
          command: ({ out, source }) => [mkfsErofs, ...argv, path.join(out, 'made'), source],
        },
      ]
    : [];

const QUIET = ['--log-level', 'error'];

const native = (
  layer: Layer,
  form: Form,
  compressor: string,
  peers: Peers,
  options: readonly string[] = [],
): Work => ({
  layer,
  form,
  task: compressor,
  ...builders(peers, ({ out, source }) => [
    ...['create', '--type', TYPES[form], '--compressor', compressor, ...options, ...QUIET],
    ...['--blob-inline-meta', '--features', 'blob-toc', '--blob', path.join(out, 'made'), source],
  ]),
  made: 'made',
});

const batches = (layer: Layer, peers: Peers): Work => ({
  ...native(layer, 'tar', 'zstd', peers, ['--batch-size', '0x100000']),
  task: 'zstd, batches of 1 MiB',
});

const zran = (layer: Layer, peers: Peers): Work => ({
  layer,
  form: 'tar.gz',
  task: 'targz-ref',
  ...builders(peers, ({ out, source }) => [
    ...['create', '--type', 'targz-ref', '--bootstrap', path.join(out, 'made'), ...QUIET],
    ...['--blob', path.join(out, 'blob'), source],
  ]),
  made: 'made',
});

const tarfsArgv = (bootstrap: string, source: string, ...options: string[]): string[] => [
  ...['create', '--type', 'tar-tarfs', '--bootstrap', bootstrap, ...options, ...QUIET, source],
];

const tarfs = (layer: Layer, peers: Peers, given: boolean): Work => {
  const { ours, peers: builder } = builders(peers, ({ out, source }) =>
    tarfsArgv(
      path.join(out, 'made'),
      source,
      ...['--blob-dir', out, ...(given ? ['--blob-id', BLOB_ID] : [])],
    ),
  );
  return {
    layer,
    form: 'tar',
    task: given ? 'tarfs, blob id given' : 'tarfs',
    ours,
    peers: [...builder, ...(given ? mkfs(peers, '--tar=i') : [])],
    made: 'made',
  };
};

const tarfsImage = async ({ inputs, source }: Omit<Place, 'out'>): Promise<void> => {
  symlinkSync(path.resolve(source), path.join(inputs, BLOB_ID));
  const options = ['--blob-dir', inputs, '--blob-id', BLOB_ID];
  await finished([...OURS, ...tarfsArgv(path.join(inputs, 'boot'), source, ...options)]);
};

const exportArgv = ({ inputs, out }: Place, ...options: string[]): string[] => [
  ...['export', '--block', ...options, '--bootstrap', path.join(inputs, 'boot')],
  ...['--localfs-dir', inputs, '--output', path.join(out, 'made'), ...QUIET],
];

const blockExport = (layer: Layer, peers: Peers, verity: boolean): Work => ({
  layer,
  form: 'tar',
  task: verity ? 'export, verity' : 'export',
  prepare: tarfsImage,
  ...builders(peers, place => exportArgv(place, ...(verity ? ['--verity'] : []))),
  made: 'made',
});

const compressedExport = (layer: Layer, peers: Peers): Work => ({
  layer,
  form: 'tar',
  task: 'export, lz4',
  prepare: tarfsImage,
  ours: place => [...OURS, ...exportArgv(place, '--compressor', 'lz4')],
  peers: mkfs(peers, '--tar=f', '-zlz4'),
  made: 'made',
});

/** Makes an image of the layer, `boot` with its blob beside it. */
const rafsImage =
  (compressor: string): NonNullable<Work['prepare']> =>
  ({ inputs, source }) =>
    finished([
      ...[...OURS, 'create', '--type', 'tar-rafs', '--compressor', compressor, ...QUIET],
      ...['--blob-dir', inputs, '--bootstrap', path.join(inputs, 'boot'), source],
    ]);

const unpack = (layer: Layer, peers: Peers): Work => ({
  layer,
  form: 'tar',
  task: 'unpack',
  prepare: rafsImage('zstd'),
  ...builders(peers, ({ inputs, out }) => [
    ...['unpack', ...QUIET, '--blob-dir', inputs, '--bootstrap', path.join(inputs, 'boot')],
    ...['--output', path.join(out, 'made')],
  ]),
  made: 'made',
});

const check = (layer: Layer, peers: Peers): Work => ({
  layer,
  form: 'tar',
  task: 'check',
  prepare: rafsImage('none'),
  ...builders(peers, ({ inputs }) => ['check', ...QUIET, '-B', path.join(inputs, 'boot')]),
});

const merge = (layer: Layer, peers: Peers, sources: Sources): Work => {
  const bootstraps = (inputs: string): string[] =>
    Array.from({ length: LAYERS_MERGED }, (_, i) => path.join(inputs, String(i + 1)));
  return {
    layer,
    task: `merge of ${LAYERS_MERGED}`,
    prepare: async ({ inputs }) => {
      for (const [i, bootstrap] of bootstraps(inputs).entries()) {
        await shell(
          '"$1" "$2" "$3" "$4" "$5" | "$6" "$7" create -t tar-rafs -l error --blob /dev/null --bootstrap "$8" -',
          ...sources.maker(layer),
          String(i + 1),
          ...OURS,
          bootstrap,
        );
      }
    },
    ...builders(peers, ({ inputs, out }) => [
      ...['merge', ...QUIET, '--bootstrap', path.join(out, 'made'), ...bootstraps(inputs)],
    ]),
    made: 'made',
  };
};

const version = (layer: Layer, peers: Peers): Work => ({
  layer,
  task: '--version',
  ...builders(peers, () => ['--version']),
});

/** Prepares what a work takes, and returns where it is. */
export const prepared = async (
  work: Work,
  source: string,
  directory: string,
): Promise<Omit<Place, 'out'>> => {
  const place = { source, inputs: path.join(directory, 'inputs') };
  mkdirSync(place.inputs, { recursive: true });
  await work.prepare?.(place);
  return place;
};
