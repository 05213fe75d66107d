/** Layers that nydus-image refuses or gets wrong: what we make of them, as other readers see it. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import tarStream from 'tar-stream';
import t, { type Test } from 'tap';
import { succeed } from '../support/process/cli.js';
import { temporaryDirectory } from '../support/process/fs.js';
import { layerPath, layerTar } from '../support/tar/layers.js';

interface Member {
  type: string;
  mode: string;
  /** content of a file, target of a link */
  content: string;
  xattrs: Record<string, string>;
}

/** Members of a tar by name, in their order, as another reader sees them. */
const membersOf = async (tar: Buffer): Promise<Record<string, Member>> => {
  const members: Record<string, Member> = {};
  for await (const entry of Readable.from([tar]).pipe(tarStream.extract())) {
    const { name, type, mode, linkname, pax } = entry.header as typeof entry.header & {
      pax?: Record<string, string>; // not in the types
    };
    const xattrs = Object.entries(pax ?? {}).flatMap(([key, value]) =>
      key.startsWith('SCHILY.xattr.') ? [[key.slice(13), value] as const] : [],
    );
    const content = (await buffer(entry)).toString('latin1');
    members[name] = {
      type: type ?? '',
      mode: mode.toString(8),
      content: linkname ?? content,
      xattrs: Object.fromEntries(xattrs),
    };
  }
  return members;
};

/** Builds a layer, with its bootstrap inside or beside it, and unpacks it again. */
const rebuilt = async (t: Test, layer: string, inlined: boolean): Promise<Buffer> => {
  const directory = temporaryDirectory(t);
  const at = (file: string): string => path.join(directory, file);
  const source = layerPath(`${layer}.tar.gz`);
  const create = ['create', '-l', 'warn', '-t', 'targz-rafs', '-b', at('blob'), source];
  if (inlined) {
    await succeed(t, [...create, '--blob-inline-meta', '--features', 'blob-toc']);
    await succeed(t, ['unpack', '-l', 'warn', at('blob'), '--output', at('tar')]);
  } else {
    await succeed(t, [...create, '-B', at('boot')]);
    const blob = fs.existsSync(at('blob')) ? ['-b', at('blob')] : ['-D', directory];
    await succeed(t, ['unpack', '-l', 'warn', '-B', at('boot'), ...blob, '--output', at('tar')]);
  }
  return fs.readFileSync(at('tar'));
};

for (const inlined of [true, false]) {
  const where = inlined ? 'inlined' : 'beside';

  t.test(`several xattrs, one of two lines, bootstrap ${where}`, async t => {
    const members = await membersOf(await rebuilt(t, 'xattrs', inlined));
    t.same(Object.keys(members), ['many', 'newline']);
    t.same(members.many?.xattrs, {
      'security.selinux': 'system_u:object_r:bin_t:s0\0',
      'trusted.overlay.opaque': 'y',
      'user.a': '1',
      'user.comment': 'hello world',
      'user.empty': '',
    });
    t.same(members.newline?.xattrs, { 'user.lines': 'one\ntwo\n' });
  });

  t.test(`children without parents, bootstrap ${where}`, async t => {
    const members = await membersOf(await rebuilt(t, 'orphans', inlined));
    const seen = Object.entries(members).map(([name, { type, mode }]) => [name, type, mode]);
    t.same(seen, [
      ['a', 'directory', '755'],
      ['a/b', 'directory', '755'],
      ['a/b/c', 'directory', '755'],
      ['a/b/c/d', 'file', '644'],
      ['a/x', 'file', '644'],
      // came after its children, and is not overwritten by what was made for them
      ['no', 'directory', '700'],
      ['no/parent', 'directory', '755'],
      ['no/parent/here', 'file', '644'],
      ['no/parent/too', 'file', '644'],
    ]);
    const source = await membersOf(layerTar('orphans'));
    for (const name of ['a/b/c/d', 'a/x', 'no/parent/here', 'no/parent/too']) {
      t.equal(members[name]?.content, source[name]?.content, name);
    }
  });

  t.test(`a PAX global header, bootstrap ${where}`, async t => {
    const members = await membersOf(await rebuilt(t, 'global', inlined));
    const source = await membersOf(layerTar('global'));
    t.same(Object.keys(members), ['src']);
    t.equal(members.src?.content, source.src?.content);
  });

  t.test(`a FIFO without device numbers, bootstrap ${where}`, async t => {
    const members = await membersOf(await rebuilt(t, 'fifo-blank-dev', inlined));
    t.match(members, { pipe: { type: 'fifo', mode: '600' } });
    t.equal(Object.keys(members).length, 1);
  });

  t.test(`entries of all kinds, bootstrap ${where}`, async t => {
    const list = (tar: Buffer): string[] =>
      execFileSync('tar', ['--numeric-owner', '-tvf', '-'], {
        input: tar,
        env: { ...process.env, TZ: 'UTC' },
        stdio: ['pipe', 'pipe', 'ignore'],
      })
        .toString()
        .trimEnd()
        .split('\n')
        // the root is not in it; a hardlink may be of any of its names
        .filter(line => !line.endsWith(' ./'))
        .map(line => line.replace(/\/$/, '').replace(/ +/g, ' '))
        .filter(line => !/^h|usr\/bin\/(hard2?|tool)$/.test(line))
        .sort();
    const tar = await rebuilt(t, 'kinds', inlined);
    const source = layerTar('kinds');
    t.same(list(tar), list(source), 'as GNU tar lists them');
    const [members, due] = [await membersOf(tar), await membersOf(source)];
    const xattrs = (of: Record<string, Member>) =>
      Object.entries(of)
        .map(([name, { xattrs }]) => [name.replace(/\/$/, ''), xattrs] as const)
        .filter(([, xattrs]) => Object.keys(xattrs).length > 0)
        .sort();
    t.same(xattrs(members), xattrs(due), 'xattrs');
    t.ok(xattrs(due).length >= 3, 'there are some');
    t.same(members['usr/bin/hard']?.content, due['usr/bin/tool']?.content, 'content');
    t.match(members, {
      'usr/bin/hard2': { type: 'link', content: '/usr/bin/hard' },
      'usr/bin/tool': { type: 'link', content: '/usr/bin/hard' },
    });
  });
}
