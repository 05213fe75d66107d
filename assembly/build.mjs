/**
 * Compiles the AssemblyScript sources to dist/lib/compress/*.wasm, beside the modules that load them.
 */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Memory in pages of 64 KiB; the block coder's grows with its chunks, the inflater's is fixed. */
const modules = [
  { name: 'inflate', memory: ['--initialMemory', '24', '--maximumMemory', '24'] },
  { name: 'lz4-block', memory: ['--initialMemory', '2'] },
];

mkdirSync(`${root}/dist/lib/compress`, { recursive: true });
for (const { name, memory } of modules) {
  const { error, stderr } = await asc.main([
    `assembly/${name}.ts`,
    '--baseDir',
    root,
    '--outFile',
    `dist/lib/compress/${name}.wasm`,
    '--runtime',
    'stub',
    '--use',
    'abort=',
    '-O3',
    '--enable',
    'simd',
    '--converge',
    ...memory,
  ]);
  if (error) {
    process.stderr.write(`${name}: ${stderr.toString()}\n${error.message}\n`);
    process.exit(1);
  }
}
