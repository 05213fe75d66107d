/** What must hold of every row, whatever it says. */
import t from 'tap';
import { CREATE } from '../../../bin/options/create.js';
import { DISKS } from '../../../bin/options/disks.js';
import { IMAGES } from '../../../bin/options/images.js';
import { READING } from '../../../bin/options/reading.js';
import { REWRITING } from '../../../bin/options/rewriting.js';
import { OUTPUT_JSON } from '../../../bin/options/shared.js';
import type { CommandRow, OptionRow, PositionalRow } from '../../../bin/options/option-row.js';

const ROWS: Readonly<Record<string, CommandRow>> = {
  create: CREATE,
  ...IMAGES,
  ...READING,
  ...DISKS,
  ...REWRITING,
};

const rulesOf = ({ conflicts = [], requiredUnless = [] }: PositionalRow) => ({
  conflicts,
  requiredUnless,
});

for (const [command, { about, options, positional }] of Object.entries(ROWS)) {
  t.test(command, async t => {
    t.match(about, /^[A-Z].*[^.]$/);
    const names = new Set(Object.keys(options));
    const shorts = Object.values(options).flatMap(({ short }) => (short ? [short] : []));
    t.equal(new Set(shorts).size, shorts.length, 'short forms are distinct');
    const words = Object.values(options).flatMap(({ aliases = [] }) => aliases);
    for (const word of words) t.notOk(names.has(word), `${word} is no alias and a name, too`);
    const rows: [string, Partial<OptionRow>][] = Object.entries(options);
    if (positional)
      rows.push([positional.name, { about: positional.about, ...rulesOf(positional) }]);
    for (const [name, { conflicts = [], requires = [], requiredUnless = [] }] of rows) {
      for (const other of [...conflicts, ...requires, ...requiredUnless]) {
        t.ok(names.has(other) || other === positional?.name, `${name} names ${other}`);
      }
    }
    for (const [name, row] of Object.entries(options)) {
      t.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
      if (row.values && row.default !== undefined) t.ok(row.values.includes(row.default), name);
      t.notOk(
        row.flag && (row.default !== undefined || row.values),
        `${name}: a flag has no value`,
      );
    }
  });
}

t.test('results in JSON have one form everywhere', async t => {
  t.equal(CREATE.options['output-json'], OUTPUT_JSON);
  t.equal(REWRITING.merge.options['output-json'], OUTPUT_JSON);
});
