import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import t from 'tap';
import { MediaType } from '../../../lib/oci/media-types.js';
import {
  SNIFFED_SIZE,
  decompress,
  isPlain,
  layerType,
  sniff,
} from '../../../streams/layer/decompress.js';

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');

t.test('what a source is compressed with shows in its first bytes', async t => {
  const hex = (text: string) => sniff(bytes(text));
  t.equal(sniff(zlib.gzipSync('x').subarray(0, SNIFFED_SIZE)), 'gzip');
  t.equal(hex('1f8b08'), 'gzip', 'three bytes are enough');
  t.equal(hex('1f8b07ff'), 'none');
  t.equal(hex('28b52ffd'), 'zstd');
  t.equal(hex('28b52f'), 'none');
  t.equal(hex('502a4d18'), 'zstd', 'skippable frame');
  t.equal(hex('5f2a4d18'), 'zstd');
  t.equal(hex('602a4d18'), 'none');
  t.equal(hex(''), 'none');
  t.equal(sniff(Buffer.from('usr/bin/x\0\0')), 'none');
  t.equal(sniff(Buffer.from('BZh9/file\0\0')), 'none', 'a name that begins like a bzip2');
  t.equal(sniff(Buffer.from('a0fd377a585a00')), 'none');
});

t.test('formats that are known and not read are named', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'decompress-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const plain = join(folder, 'plain');
  for (const [format, command, args, instead] of [
    ['xz', 'xz', ['-kc', plain], 'pipe it through `xz -dc`'],
    ['bzip2', 'bzip2', ['-kc', plain], 'pipe it through `bzip2 -dc`'],
    ['lz4', 'lz4', ['-c', plain], 'pipe it through `lz4 -dc`'],
    ['zip', 'zip', ['-q', '-', plain], 'unpack it and make a tar of it'],
    ['7z', '7z', ['a', join(folder, 'out.7z'), plain], 'unpack it and make a tar of it'],
  ] as const) {
    t.test(format, async t => {
      for (const content of ['some bytes', '']) {
        writeFileSync(plain, content);
        const { stdout, error } = spawnSync(command, args);
        if (error) {
          t.pass(format, { skip: `no ${command}` });
          continue;
        }
        const packed = format === '7z' ? readFileSync(join(folder, 'out.7z')) : stdout;
        t.throws(() => sniff(packed, { layer: 'one' }), {
          code: 'UNSUPPORTED',
          message: `the source is in ${format} format; expected a tar, plain or compressed with gzip or zstd: ${instead}`,
          at: { layer: 'one' },
        });
        t.equal(isPlain(packed), false);
      }
    });
  }
  t.equal(SNIFFED_SIZE, 10, 'the longest magic');
});

t.test('each compression has a stage and a media type', async t => {
  t.same(decompress('none'), []);
  t.equal(decompress('gzip').length, 1);
  t.equal(decompress('zstd').length, 1);
  t.equal(layerType('none'), MediaType.LAYER);
  t.equal(layerType('gzip'), MediaType.LAYER_GZIP);
  t.equal(layerType('zstd'), MediaType.LAYER_ZSTD);
});
