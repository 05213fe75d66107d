/**
 * Converts one image after another in one process, and writes the memory that it takes, in MiB.
 *
 * usage: many-images REGISTRY IMAGE COUNT STEP
 */
import { convertImage } from '../../../streams/convert/convert-image.js';
import { RegistrySource, RegistryTarget } from '../../../streams/transport/registry.js';

const [registry, image, count, step] = process.argv.slice(2) as [string, string, string, string];

for (let done = 1; done <= Number(count); done++) {
  const source = new RegistrySource(`${registry}/${image}`);
  const target = new RegistryTarget(`${registry}/many:${done % 10}`);
  await convertImage({ source, target, mode: done % 2 === 0 ? 'zran' : 'native' });
  await Promise.all([source.close(), target.close()]);
  if (done % Number(step) !== 0) continue;
  process.stdout.write(`${done} ${(process.memoryUsage().rss / 0x10_0000).toFixed(1)}\n`);
}
