import t from 'tap';
import {
  CONVERSIONS,
  conversionType,
  noticesOf,
  refusalOf,
  TYPE_NAMES,
  type BuildValues,
  type TypeName,
} from '../../../lib/config/conversions.js';

const values = (type: TypeName, changes: Partial<BuildValues> = {}): BuildValues => ({
  type,
  bootstrap: 'boot',
  'blob-dir': 'dir',
  blob: undefined,
  'external-blob': undefined,
  'blob-inline-meta': false,
  'blob-id': undefined,
  'blob-data-size': undefined,
  'blob-offset': '0',
  'chunk-size': undefined,
  'batch-size': '0',
  compressor: 'zstd',
  digester: 'blake3',
  config: undefined,
  'fs-version': '6',
  features: undefined,
  'chunk-dict': undefined,
  'parent-bootstrap': undefined,
  'aligned-chunk': false,
  repeatable: false,
  'whiteout-spec': 'oci',
  'prefetch-policy': 'none',
  'output-json': undefined,
  encrypt: false,
  'blob-cache-dir': undefined,
  attributes: undefined,
  ...changes,
});

t.test('every name has its type', async t => {
  t.strictSame(
    TYPE_NAMES.map(name => conversionType(name)),
    [
      ...['dir-rafs', 'dir-rafs', 'estargz-rafs', 'estargz-ref', 'estargztoc-ref', 'tar-rafs'],
      ...['tar-tarfs', 'targz-rafs', 'targz-ref', 'estargztoc-ref'],
    ],
  );
  t.strictSame(
    [...new Set(TYPE_NAMES.map(name => conversionType(name)))].sort(),
    Object.keys(CONVERSIONS).sort(),
  );
});

t.test('what types force', async t => {
  const rows = Object.entries(CONVERSIONS).map(([type, c]) =>
    [type, c.source, c.mode, c.compressor ?? '*', c.digester ?? '*', c.chunkSize].join(' '),
  );
  t.strictSame(rows.sort(), [
    'dir-rafs dir native * * 1048576',
    'estargz-rafs tar native * * 1048576',
    'estargz-ref tar zran gzip sha256 1048576',
    'estargztoc-ref toc zran gzip sha256 4194304',
    'tar-rafs tar native * * 1048576',
    'tar-tarfs tar tarfs none sha256 1048576',
    'targz-rafs tar native * * 1048576',
    'targz-ref tar zran gzip sha256 1048576',
  ]);
});

const CHANGES = {
  prefetch: { 'prefetch-policy': 'blob' },
  v5: { 'fs-version': '5' },
  id: { 'blob-id': 'x' },
  dict: { 'chunk-dict': 'x' },
  parent: { 'parent-bootstrap': 'x' },
  inline: { 'blob-inline-meta': true, bootstrap: undefined },
  toc: { features: 'blob-toc' },
  aligned: { 'aligned-chunk': true },
  encrypt: { encrypt: true },
} as const satisfies Record<string, Partial<BuildValues>>;
type Change = keyof typeof CHANGES;

const conflicts = (type: string, option: string) =>
  `conversion type '${type}' conflicts with '${option}'`;
const prefetch = (type: string) =>
  `conversion type ${type} conflicts with '--prefetch-policy blob'`;
const v6 = (type: string) =>
  `'--fs-version 5' conflicts with conversion type '${type}', only V6 is supported`;

const REFUSED: Partial<Record<TypeName, Partial<Record<Change, string>>>> = {
  'targz-ref': {
    prefetch: prefetch('targz-ref'),
    v5: v6('targz-ref'),
    id: conflicts('targz-ref', '--blob-id'),
    encrypt: conflicts('targz-ref', '--encrypt'),
  },
  'estargz-ref': {
    prefetch: prefetch('estargz-ref'),
    v5: v6('estargz-ref'),
    id: conflicts('estargz-ref', '--blob-id'),
    encrypt: conflicts('estargz-ref', '--encrypt'),
  },
  'tar-tarfs': {
    prefetch: prefetch('tar-tarfs'),
    v5: v6('tar-tarfs'),
    encrypt: conflicts('tar-tarfs', '--encrypt'),
    dict: conflicts('tar-tarfs', '--chunk-dict'),
    parent: conflicts('tar-tarfs', '--parent-bootstrap'),
    inline: conflicts('tar-tarfs', '--blob-inline-meta'),
    toc: conflicts('tar-tarfs', '--features blob-toc'),
    aligned: conflicts('tar-tarfs', '--aligned-chunk'),
  },
  'estargztoc-ref': {
    v5: v6('estargztoc-ref'),
    encrypt: conflicts('estargztoc-ref', '--encrypt'),
  },
};

t.test('each type with each option it might refuse', async t => {
  for (const name of TYPE_NAMES) {
    const type = conversionType(name);
    const base = type === 'estargztoc-ref' ? { 'blob-id': 'x' } : {};
    t.equal(refusalOf(values(name, base)), undefined, name);
    for (const [change, more] of Object.entries(CHANGES) as [Change, Partial<BuildValues>][]) {
      t.equal(
        refusalOf(values(name, { ...base, ...more })),
        REFUSED[type]?.[change],
        `${name} ${change}`,
      );
    }
  }
});

t.test('of two refusals, the first by the order of rules', async t => {
  const all = { ...CHANGES.prefetch, ...CHANGES.v5, ...CHANGES.id, ...CHANGES.encrypt };
  t.equal(refusalOf(values('targz-ref', all)), prefetch('targz-ref'));
  t.equal(refusalOf(values('targz-ref', { ...all, 'prefetch-policy': 'fs' })), v6('targz-ref'));
});

t.test('an eStargz TOC needs an id; an empty value is none', async t => {
  const missing = "'--blob-id' is missing for '--type stargz_index'";
  t.equal(refusalOf(values('stargz_index')), missing);
  t.equal(refusalOf(values('estargztoc-ref', { 'blob-id': '' })), missing);
  t.equal(refusalOf(values('targz-ref', { 'blob-id': '' })), undefined);
  t.equal(refusalOf(values('tar-tarfs', { 'parent-bootstrap': '' })), undefined);
});

t.test('what was asked for and is not done is said', async t => {
  const asked = new Set(['compressor', 'digester']);
  t.strictSame(noticesOf(values('targz-ref'), asked), [
    'only GZip is supported for conversion type targz-ref, use GZip instead of zstd',
    'only SHA256 is supported for conversion type targz-ref, use SHA256 instead of Blake3',
  ]);
  t.strictSame(noticesOf(values('tar-tarfs', { digester: 'sha256' }), asked), [
    'only compressor `None` is supported for conversion type tar-tarfs, use `None` instead of zstd',
  ]);
  t.strictSame(noticesOf(values('targz-ref'), new Set()), []);
  t.strictSame(noticesOf(values('tar-rafs'), asked), []);
});
