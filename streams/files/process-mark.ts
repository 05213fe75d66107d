/**
 * Marks that say which process made a file, so that what a process left behind when it was killed
 * can be told from what another one is working on.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { hostname } from 'node:os';

/** A process, and where its number means it: on one machine, since it started, among its like. */
export interface ProcessMark {
  realm: string;
  pid: number;
  /** when it started, since numbers are used again; '0' if the system does not tell */
  start: string;
}

const MARK = /^([0-9a-f]{8})-(\d{1,10})-(\d{1,20})$/;

/** The text of this process's mark. */
export const ownMark = (): string =>
  (own ??= `${realmOf()}-${process.pid}-${startOf('self') ?? '0'}`);
let own: string | undefined;

export const parseMark = (text: string): ProcessMark | undefined => {
  const [, realm, pid, start] = MARK.exec(text) ?? [];
  return realm && pid && start ? { realm, pid: Number(pid), start } : undefined;
};

/** Whether the process has ended; undefined if nobody here can know. */
export const hasEnded = ({ realm, pid, start }: ProcessMark): boolean | undefined => {
  if (!ownMark().startsWith(`${realm}-`)) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs for somebody else
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
  }
  const now = startOf(`${pid}`);
  return now !== undefined && start !== '0' && now !== start;
};

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, 'latin1').trim();
  } catch {
    return '';
  }
};

/** The machine since it was started, and the container. */
const realmOf = (): string => {
  const boot = read('/proc/sys/kernel/random/boot_id') || hostname();
  let processes = '';
  try {
    processes = fs.readlinkSync('/proc/self/ns/pid');
  } catch {
    // a system without such name spaces
  }
  return createHash('sha256').update(`${boot} ${processes}`).digest('hex').slice(0, 8);
};

/** In clock ticks since the machine was started: field 22, where field 2 may have any characters. */
const startOf = (pid: string): string | undefined => {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
};
