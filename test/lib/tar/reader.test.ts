import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import t from 'tap';
import type { BytesPart } from '../../../lib/model/parts.js';
import { tarReader, type TarPart } from '../../../lib/tar/reader.js';
import { longName, tarOf } from '../../support/tar/tar.js';
import { cutAt } from '../../support/stream/stage.js';
import { wordyBytes } from '../../support/random.js';

const TAR = tarOf([
  { name: 'd/', type: '5' },
  { name: 'd/a', content: wordyBytes(5000, 1) },
  longName('x'.repeat(300)),
  { name: 'x', content: Buffer.from('long') },
  { name: 'empty' },
]);

/** What a reader makes of parts: entries, and their contents in one piece. */
const read = (parts: readonly BytesPart[]): string[] => {
  const reader = tarReader();
  const made: string[] = [];
  let content: Buffer[] = [];
  const push = (part: TarPart): void => {
    if (part.kind === 'entry') made.push(`${part.entry.type} ${part.entry.path}`);
    else if (part.kind === 'data') content.push(Buffer.from(part.bytes));
    else {
      made.push(Buffer.concat(content).toString('latin1'));
      content = [];
    }
  };
  for (const part of parts) for (const made of reader.part(part, push) ?? []) push(made);
  reader.end();
  return made;
};

const DUE = [
  ...['directory d', '', 'file d/a', wordyBytes(5000, 1).toString('latin1')],
  ...[`file ${'x'.repeat(300)}`, 'long', 'file empty', ''],
];

t.test('the same comes out, however the tar is cut', async t => {
  t.same(read(cutAt(TAR, [])), DUE);
  fc.assert(
    fc.property(fc.array(fc.nat(TAR.length), { maxLength: 20 }), cuts => {
      t.same(read(cutAt(TAR, cuts)), DUE);
    }),
    { numRuns: 60 },
  );
});

t.test('a source may leave out what is said to be skippable, and no more', async t => {
  const reader = tarReader({ contents: false });
  const paths: string[] = [];
  const push = (part: TarPart): void => {
    if (part.kind === 'entry') paths.push(part.entry.path);
  };
  let read = 0;
  for (let at = 0; at < TAR.length;) {
    at += reader.skippable;
    const size = Math.min(reader.wanted, TAR.length - at);
    if (size <= 0) break;
    reader.part({ kind: 'bytes', offset: at, bytes: TAR.subarray(at, at + size) }, push);
    read += size;
    at += size;
  }
  t.same(paths, ['d', 'd/a', 'x'.repeat(300), 'empty']);
  t.ok(read < TAR.length - 5000, 'content was not asked for');
});

t.test('what is no header is CORRUPT, with its place', async t => {
  const bytes = Buffer.concat([TAR.subarray(0, 512), Buffer.alloc(512, 'x')]);
  t.throws(() => read(cutAt(bytes, [])), { code: 'CORRUPT', at: { offset: 512 } });
  t.throws(() => read(cutAt(TAR.subarray(0, 1500), [])), { code: 'CORRUPT' });
});

t.test('directories of v7 tars, which are files whose names end with a slash', async t => {
  const long = `${'x'.repeat(300)}/`;
  const tar = tarOf([
    { name: 'd/', type: '\0', magic: 'v7' },
    { name: 'd/f', type: '\0', magic: 'v7', content: Buffer.from('content') },
    longName(long),
    { name: 'x', type: '\0', magic: 'gnu' },
  ]);
  const due = ['directory d', '', 'file d/f', 'content', `directory ${long.slice(0, -1)}`, ''];
  t.same(read(cutAt(tar, [])), due);
  const { stdout, error } = spawnSync('tar', ['-tvf', '-'], { input: tar, encoding: 'latin1' });
  if (error) {
    t.pass('no tar to compare with', { skip: true });
    return;
  }
  const listed = stdout.trim().split('\n');
  t.same(
    listed.map(line => `${line[0]} ${line.split(' ').at(-1)}`),
    ['d d/', '- d/f', `d ${long}`],
    'GNU tar sees the same',
  );
});
