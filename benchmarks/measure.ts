/** Runs a program to its end and measures what it took. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface Cost {
  /** seconds of wall time, including some milliseconds for starting a process */
  wall: number;
  /** seconds of CPU time of all its threads, in user mode and in the kernel */
  cpu: number;
  /** peak memory, in KiB */
  rss: number;
}

/**
 * Runs a program under GNU time, which gives the kernel's figures for that one process.
 * Fails if the program does, with the end of its stderr.
 */
export const measure = async (command: readonly string[], time = 'time'): Promise<Cost> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'rafs-time-'));
  try {
    const figures = path.join(directory, 'figures');
    const start = performance.now(); // GNU time has only hundredths of a second
    await finished([time, '-f', '%U %S %M', '-o', figures, ...command]);
    const wall = (performance.now() - start) / 1000;
    const [user, system, rss] = readFileSync(figures, 'utf8').trim().split(' ').map(Number);
    return { wall, cpu: user! + system!, rss: rss! };
  } finally {
    rmSync(directory, { recursive: true });
  }
};

/** Without extra certificates, which Node reads whenever it starts: that takes 50 ms. */
const { NODE_EXTRA_CA_CERTS: _, ...ENV } = process.env;

/** Resolves when a program has succeeded. */
export const finished = ([program, ...argv]: readonly string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(program!, argv, { stdio: ['ignore', 'ignore', 'pipe'], env: ENV });
    let errors = '';
    child.stderr.on(
      'data',
      (text: Buffer) => (errors = `${errors}${text.toString()}`.slice(-2000)),
    );
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${[program, ...argv].join(' ')}: ${signal ?? code}: ${errors}`));
    });
  });

/** The median of the costs, each figure on its own; of an even number the lower middle one. */
export const median = (costs: readonly Cost[]): Cost => {
  const middle = (pick: (cost: Cost) => number): number =>
    costs.map(pick).sort((a, b) => a - b)[(costs.length - 1) >> 1]!;
  return {
    wall: middle(cost => cost.wall),
    cpu: middle(cost => cost.cpu),
    rss: middle(cost => cost.rss),
  };
};
