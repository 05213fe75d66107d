#!/usr/bin/env node
/**
 * The entry. What a build has bundled into few files starts in half the time that its modules take
 * one by one; without a bundle those are run as they are.
 */
import { existsSync } from 'node:fs';
import v8 from 'node:v8';
import { versionText } from './version.js';

// V8 optimizes a function only when it has run three times as much as by default: a build is short,
// and its threads want the cores on which V8 would compile
v8.setFlagsFromString('--interrupt-budget=400000');

const bundle = new URL('../bundle/main.js', import.meta.url);
const [asked, ...others] = process.argv.slice(2);
// what clients ask first, and before every build: it needs nothing of the rest
if (others.length === 0 && (asked === '--version' || asked === '-V')) {
  process.stdout.write(versionText());
} else await import(existsSync(bundle) ? bundle.href : './main.js');
