/** A slice of the runs that end badly: each command once, and nothing is found. */
import t from 'tap';
import { endings } from './endings.js';

t.test('killed, on a full disk, or without a reader: nothing is half written', async t => {
  const { rounds, findings } = await endings({ rounds: 15, seed: 5 });
  t.same(findings, []);
  t.equal(rounds.killed + rounds['full disk'] + rounds['lost reader'], 15);
  t.ok(rounds.killed > 3);
});
