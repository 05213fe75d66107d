#!/usr/bin/env node
/**
 * The entry point. The one file that a build bundles the program into starts in a quarter of the
 * time of its separate modules; without a bundle, the modules are run.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onStop, stopAtOnce } from './signals.js';
import { versionText } from './version.js';

// a closed pipe is reported where something is written to it, not by an uncaught event
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
onStop(stopAtOnce);

const bundle = fileURLToPath(new URL('../bundle/main.js', import.meta.url));
const argv = process.argv.slice(2);
// clients ask for the version first, and before every build: that needs none of the rest
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.write(versionText(), error => {
    if (!error) return;
    process.stderr.write(`Error: the output is closed: ${error.message}\n`);
    process.exitCode = 1;
  });
} else if (existsSync(bundle)) {
  const { runBundle } = await import('./code-cache.js');
  runBundle(bundle, argv);
} else await import('./main.js');
