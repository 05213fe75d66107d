import { readFileSync } from 'node:fs';
import t from 'tap';
import { build, versionId, versionText } from '../../bin/version.js';

const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { version: string };

t.test('the text, byte for byte', async t => {
  const { version, commit, time } = build();
  t.equal(version, `v${manifest.version}`);
  t.equal(
    versionText(),
    ` \rVersion: \t${version}\nGit Commit: \t${commit}\nBuild Time: \t${time}\n` +
      `Profile: \trelease\nNode: \t\t${process.version}\n\n`,
  );
  t.equal(versionText(), versionText());
});

t.test('a client finds the version in it', async t => {
  t.equal(/Version:\s*(v.*)/.exec(versionText())?.[1], `v${manifest.version}`);
});

t.test('the id of --output-json', async t => {
  t.equal(versionId(), `v${manifest.version}-${build().commit}`);
});
