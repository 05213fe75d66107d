import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { localDisk } from '../../../streams/storage/local-disk.js';
import { openBelow, temporaryDirectory } from '../../support/process/fs.js';
import { altered } from '../../support/images/golden.js';
import { gptDisk } from '../../support/images/gpt-disk.js';

const ID = '0123456789abcdef'.repeat(4);
const OTHER = 'fedcba9876543210'.repeat(4);
const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));

const diskOf = (devicePath: string) =>
  localDisk({ type: 'localdisk', devicePath, disableGpt: false });

t.test('blobs are partitions', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'disk');
  fs.writeFileSync(
    file,
    gptDisk([
      { id: OTHER, bytes: Buffer.alloc(512), shortened: true },
      { id: ID, bytes },
    ]),
  );
  const storage = diskOf(file);
  const source = await storage.open(ID);
  t.equal(source.size, 5120, 'whole sectors');
  t.ok((await source.read(0, 5000)).equals(bytes));
  t.ok((await source.read(4000, 1000)).equals(bytes.subarray(4000)));
  for (const [offset, size] of [
    [5120, 1],
    [0, 5121],
    [-1, 1],
  ] as const) {
    await t.rejects(source.read(offset, size), { code: 'CORRUPT' });
  }
  const other = await storage.open(OTHER);
  t.equal(other.size, 512);
  await other.close();
  await source.close();
  await t.rejects(storage.open('none'), { code: 'BACKEND', at: { blob: 'none', file } });
  t.strictSame(openBelow(directory), []);
});

t.test('what is no such disk', async t => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'disk');
  await t.rejects(diskOf(file).open(ID), { code: 'BACKEND', message: 'cannot open the disk' });
  for (const wrong of [Buffer.alloc(0), Buffer.alloc(100_000), Buffer.from('text')]) {
    fs.writeFileSync(file, wrong);
    await t.rejects(diskOf(file).open(ID), { code: 'CORRUPT', at: { file } });
  }
  const plain = localDisk({ type: 'localdisk', devicePath: file, disableGpt: true });
  await t.rejects(plain.open(ID), { code: 'UNSUPPORTED' });
  const whole = gptDisk([{ id: ID, bytes }]);
  const head = whole.subarray(0, 64 * 512);
  let refused = 0;
  for (const copy of altered(head, 100)) {
    fs.writeFileSync(file, Buffer.concat([copy, whole.subarray(64 * 512)]));
    const error = await diskOf(file)
      .open(ID)
      .then(source => source.close())
      .catch((e: unknown) => e);
    if (error === undefined) continue;
    refused += 1;
    t.match(error, { name: 'RafsError' });
  }
  t.ok(refused > 50, `${refused} are refused`);
  t.strictSame(openBelow(directory), []);
});

const lacksSfdisk = spawnSync('sfdisk', ['--version']).status !== 0 && 'needs sfdisk';

t.test('a table that sfdisk has made', { skip: lacksSfdisk }, async t => {
  const file = path.join(temporaryDirectory(t), 'disk');
  const disk = Buffer.alloc(0x40_0000);
  bytes.copy(disk, 2048 * 512);
  fs.writeFileSync(file, disk);
  const guid = ID.slice(32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const type = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';
  const line = `start=2048, size=10, type=${type}, name="${ID.slice(0, 32)}", uuid=${guid}`;
  execFileSync('sfdisk', ['--quiet', file], {
    input: `label: gpt\nunit: sectors\n${line}\n`,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const source = await diskOf(file).open(ID);
  t.equal(source.size, 5120);
  t.ok((await source.read(0, 5000)).equals(bytes));
  await source.close();
});
