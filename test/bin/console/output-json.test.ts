import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { outputJson, writeOutputJson, type Output } from '../../../bin/console/output-json.js';
import { versionId } from '../../../bin/version.js';
import { exitStatus } from '../../../lib/errors.js';

const OUTPUT: Output = { bootstrap: 'boot', blobs: ['aa', 'bb'], fsVersion: 6, compressor: 'zstd' };

t.test('pretty: keys in order, two blanks, no newline at the end', async t => {
  t.equal(
    outputJson(OUTPUT, { pretty: true }),
    [
      '{',
      `  "version": "${versionId()}",`,
      '  "bootstrap": "boot",',
      '  "blobs": [',
      '    "aa",',
      '    "bb"',
      '  ],',
      '  "external_bootstrap": "",',
      '  "external_blobs": [],',
      '  "trace": {',
      '    "consumed_time": {},',
      '    "registered_events": {}',
      '  },',
      '  "fs_version": "6",',
      '  "compressor": "zstd"',
      '}',
    ].join('\n'),
  );
});

t.test('compact, with everything', async t => {
  const text = outputJson(
    {
      ...{ ...OUTPUT, fsVersion: 5, bootstrap: '', blobs: [] },
      ...{ externalBootstrap: 'x', externalBlobs: ['cc'] },
      ...{ consumedTime: { total_build: 0.5 }, registeredEvents: { euid: '0', dedup_chunks: 3 } },
    },
    { pretty: false },
  );
  t.equal(
    text,
    `{"version":"${versionId()}","bootstrap":"","blobs":[],"external_bootstrap":"x",` +
      '"external_blobs":["cc"],"trace":{"consumed_time":{"total_build":0.5},' +
      '"registered_events":{"euid":"0","dedup_chunks":3}},"fs_version":"5","compressor":"zstd"}',
  );
});

t.test('the file is truncated', async t => {
  const path = join(t.testdir(), 'out.json');
  writeFileSync(path, 'x'.repeat(10_000));
  const text = outputJson(OUTPUT, { pretty: true });
  writeOutputJson(path, text);
  t.equal(readFileSync(path, 'utf8'), text);
});

t.test('a file is replaced, not written over: its reader sees it whole', async t => {
  const dir = t.testdir({ 'out.json': 'before', link: t.fixture('symlink', 'out.json') });
  const path = join(dir, 'out.json');
  chmodSync(path, 0o640);
  const reader = openSync(path, 'r');
  writeOutputJson(join(dir, 'link'), '{}');
  t.equal(readFileSync(reader, 'utf8'), 'before');
  closeSync(reader);
  t.equal(readFileSync(path, 'utf8'), '{}');
  t.equal(statSync(path).mode & 0o777, 0o640);
  t.ok(lstatSync(join(dir, 'link')).isSymbolicLink());
  t.same(readdirSync(dir).sort(), ['link', 'out.json'], 'no temporary file is left');
});

t.test('a symlink to nothing makes the file that it leads to', async t => {
  const dir = t.testdir({ link: t.fixture('symlink', 'later.json') });
  writeOutputJson(join(dir, 'link'), '{}');
  t.equal(readFileSync(join(dir, 'later.json'), 'utf8'), '{}');
});

t.test('a file that cannot be opened', async t => {
  const dir = t.testdir();
  mkdirSync(join(dir, 'd'));
  for (const [path, code] of [
    [join(dir, 'none', 'x'), 'ENOENT'],
    [join(dir, 'd'), 'EISDIR'],
  ] as const) {
    try {
      writeOutputJson(path, '{}');
      t.fail('written');
    } catch (error) {
      t.match(error, { message: `can not open output file ${path}`, cause: { code } });
      t.equal(exitStatus(error), 1);
    }
  }
});
