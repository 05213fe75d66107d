import { spawnSync } from 'node:child_process';
import t from 'tap';

const url = (path: string): string => new URL(`../../${path}`, import.meta.url).href;

t.test('garbage outside the heap is collected in time', async t => {
  const script = `import { keepMemorySmall, growYoungSpace } from '${url('bin/memory.js')}';
    import { allocate } from '${url('lib/memory/allocate.js')}';
    keepMemorySmall();
    growYoungSpace();
    let peak = 0;
    for (let i = 0; i < 2000; i++) {
      allocate(0x40000).fill(1);
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }
    console.log(peak);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  t.equal(stderr, '');
  const peak = Number(stdout);
  t.ok(peak > 0 && peak < 0x2000000, `${peak} of 500 MiB at once`);
});
