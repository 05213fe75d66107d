import fc from 'fast-check';
import t from 'tap';
import { NameTree } from '../../../lib/tree/name-tree.js';

/** A NameTree of names only. */
class Names extends NameTree {
  root0 = this.addRootName();
  addRoot = (): number => this.addRootName();
  add = (parent: number, name: string): number => this.addName(parent, name);
}

const childrenOf = (tree: NameTree, row: number): string[] => {
  const rows: number[] = [];
  tree.childrenInto(rows, row);
  return rows.map(child => tree.name(child)).sort();
};

t.test('moving and dropping agree with sets of names', async () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', '\xff');
  const step = fc.oneof(
    fc.record({ add: name, to: fc.nat(1) }),
    fc.record({ drop: fc.array(name, { maxLength: 4 }), to: fc.nat(1) }),
    fc.record({ move: fc.array(name, { maxLength: 4 }), from: fc.nat(1) }),
    fc.record({ clear: fc.nat(1) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const tree = new Names();
      const roots = [tree.root0, tree.addRoot()];
      const model = [new Set<string>(), new Set<string>()];
      for (const step of steps) {
        if ('add' in step) {
          if (model[step.to]!.has(step.add)) continue;
          model[step.to]!.add(step.add);
          tree.add(roots[step.to]!, step.add);
        } else if ('drop' in step) {
          const gone = step.drop.filter(name => model[step.to]!.has(name));
          tree.dropChildren(
            roots[step.to]!,
            new Set(gone.map(name => tree.child(roots[step.to]!, name))),
          );
          for (const name of gone) model[step.to]!.delete(name);
        } else if ('move' in step) {
          const to = 1 - step.from;
          const moved = [...new Set(step.move)].filter(
            name => model[step.from]!.has(name) && !model[to]!.has(name),
          );
          const rows = moved.map(name => tree.child(roots[step.from]!, name));
          tree.moveChildren(roots[step.from]!, rows, roots[to]!);
          model[step.from]!.clear(); // the others are lost
          for (const name of moved) model[to]!.add(name);
        } else {
          tree.clear(roots[step.clear]!);
          model[step.clear]!.clear();
        }
        for (const [i, names] of model.entries()) {
          if (childrenOf(tree, roots[i]!).join() !== [...names].sort().join()) return false;
          tree.enter(roots[i]!);
          for (const name of names) {
            const row = tree.child(roots[i]!, name);
            if (row < 0 || tree.find(name) !== row || tree.path(row) !== name) return false;
            if (tree.parent.get(row) !== roots[i]) return false;
          }
        }
      }
      return true;
    }),
    {
      numRuns: 300,
      examples: [
        [
          [
            { add: 'b', to: 0 },
            { move: [], from: 0 },
            { add: 'b', to: 0 },
            { drop: ['b'], to: 0 },
          ],
        ],
      ],
    },
  );
});

t.test('what is below a child moves with it', async t => {
  const tree = new Names();
  const other = tree.addRoot();
  const d = tree.add(other, 'd');
  const x = tree.add(tree.add(d, 'e'), 'x');
  tree.moveChildren(other, [d], tree.root0);
  tree.enter(tree.root0);
  t.equal(tree.find('d/e/x'), x);
  t.equal(tree.path(x), 'd/e/x');
  tree.enter(other);
  t.equal(tree.find('d/e/x'), -1);
  t.equal(tree.root, other);
});

t.test('names are bytes, of at most 255', async t => {
  const tree = new Names();
  const long = '\xff'.repeat(255);
  const row = tree.add(tree.root0, long);
  t.equal(tree.nameSize(row), 255);
  t.same(tree.nameBytes(row), Buffer.alloc(255, 0xff));
  const copy = Buffer.alloc(257);
  tree.copyName(row, copy, 1);
  t.same(copy, Buffer.concat([Buffer.alloc(1), Buffer.alloc(255, 0xff), Buffer.alloc(1)]));
  t.throws(() => tree.add(tree.root0, `${long}x`), { code: 'LIMIT', message: /256/ });
  const a = tree.add(tree.root0, '\x7f');
  t.ok(tree.compareNames(a, row) < 0, 'in byte order');
  t.equal(tree.compareNames(a, a), 0);
});
