import t from 'tap';
import {
  hasMarkedWhiteouts,
  isMarkedWhiteout,
  withoutMarks,
} from '../../../lib/layer/overlay-marks.js';
import { entryOf } from '../../support/images/entries.js';

const attributes = (pairs: Record<string, string>): Map<string, Buffer> =>
  new Map(Object.entries(pairs).map(([name, value]) => [name, Buffer.from(value)]));

const file = entryOf('file', 'f', { size: 0 });
const directory = entryOf('directory', 'd');

t.test('notes of both kinds of mounts are left out, others stay', t => {
  const told: string[] = [];
  const all = attributes({
    'trusted.overlay.origin': 'x',
    'trusted.overlay.overlay.opaque': 'y',
    'user.overlay.impure': 'y',
    'user.mine': 'kept',
    'trusted.other': 'kept',
  });
  const kept = withoutMarks('none', file, all, name => told.push(name));
  t.same([...kept!.keys()], ['user.mine', 'trusted.other']);
  t.same(told, ['trusted.overlay.overlay.opaque']);
  t.equal(
    withoutMarks('all', file, all, () => undefined),
    all,
  );
  t.equal(
    withoutMarks('none', file, attributes({ 'user.overlay.x': '' }), () => undefined),
    undefined,
  );
  for (const name of ['trusted.overlay.opaque', 'user.overlay.opaque']) {
    const opaque = withoutMarks('opaque', directory, attributes({ [name]: 'y' }), () => undefined);
    t.same([...opaque!], [['trusted.overlay.opaque', Buffer.from('y')]]);
  }
  t.end();
});

t.test('what is elsewhere, and whiteouts', t => {
  for (const prefix of ['trusted.overlay.', 'user.overlay.']) {
    for (const [entry, mark] of [
      [file, 'metacopy'],
      [directory, 'redirect'],
    ] as const) {
      const marks = attributes({ [`${prefix}${mark}`]: '' });
      t.throws(() => withoutMarks('all', entry, marks, () => undefined), { code: 'UNSUPPORTED' });
    }
    t.ok(hasMarkedWhiteouts(attributes({ [`${prefix}opaque`]: 'x' })));
    t.notOk(hasMarkedWhiteouts(attributes({ [`${prefix}opaque`]: 'y' })));
    t.ok(isMarkedWhiteout(file, attributes({ [`${prefix}whiteout`]: '' })));
    t.notOk(isMarkedWhiteout(directory, attributes({ [`${prefix}whiteout`]: '' })));
  }
  t.end();
});
