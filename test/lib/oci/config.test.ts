/** Configs: what a conversion changes, and what it leaves alone. */
import t from 'tap';
import { configBytes, parseConfig } from '../../../lib/oci/config.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const read = (value: unknown) => parseConfig(Buffer.from(JSON.stringify(value)), DIGEST);

t.test('only layers and history change; other fields keep their order', t => {
  const value = {
    zeta: 1,
    rootfs: { type: 'layers', diff_ids: [DIGEST] },
    os: 'linux',
    history: [{ created_by: 'x' }],
    architecture: 'arm64',
    config: { Healthcheck: {}, Image: 'sha256:old' },
  };
  const parsed = read(value);
  t.same(parsed.diffIds, [DIGEST]);
  t.same(parsed.platform, { architecture: 'arm64', os: 'linux' });
  const made = configBytes(parsed, { diffIds: [], history: [] }).toString();
  t.equal(
    made,
    '{"zeta":1,"rootfs":{"type":"layers","diff_ids":[]},"os":"linux","history":[],' +
      '"architecture":"arm64","config":{"Healthcheck":{}}}',
  );
  t.end();
});

t.test('what makes no sense is refused', t => {
  const rootfs = { diff_ids: [] };
  t.throws(() => read({}), { code: 'CORRUPT', message: /no rootfs/ });
  t.throws(() => read({ rootfs: { diff_ids: 'x' } }), { message: /not a list/ });
  t.throws(() => read({ rootfs: { diff_ids: ['x'] } }), { message: /invalid digest/ });
  t.throws(() => read({ rootfs, history: [1] }), { message: /list of objects/ });
  t.throws(() => read({ rootfs, os: 3 }), { message: /platform/ });
  t.end();
});
