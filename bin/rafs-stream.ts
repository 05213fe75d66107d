#!/usr/bin/env node
/**
 * The entry point. The few files that a build bundles the program into start in half the time of
 * its separate modules; without a bundle, the modules are run.
 */
import { existsSync } from 'node:fs';
import { onStop, stopAtOnce } from './signals.js';
import { setFlag } from './v8-flags.js';
import { versionText } from './version.js';

// V8 optimizes a function only when it has run three times as much as by default: a build is short,
// and its threads need the cores on which V8 would compile
setFlag('--interrupt-budget=400000');

// a closed pipe is reported where something is written to it, not by an uncaught event
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
onStop(stopAtOnce);

const bundle = new URL('../bundle/main.js', import.meta.url);
const [asked, ...others] = process.argv.slice(2);
// clients ask for the version first, and before every build: that needs none of the rest
if (others.length === 0 && (asked === '--version' || asked === '-V')) {
  process.stdout.write(versionText(), error => {
    if (error) process.exitCode = 1;
  });
} else await import(existsSync(bundle) ? bundle.href : './main.js');
