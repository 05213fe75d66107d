/** The library by which containerd converts images, with our program as its builder. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { CLI } from './cli.js';

// compiled, this file lies in dist/test/support/
const SOURCE = fileURLToPath(new URL('../../../test/peer/go-client/', import.meta.url));
// where a build takes nothing away
const BUILT = fileURLToPath(new URL('../../peer/', import.meta.url));

/** A request, with the fields of the client's own; times are in milliseconds. */
export interface Request {
  Op: 'features' | 'layer' | 'pack' | 'sections' | 'merge' | 'unpack' | 'list' | 'image';
  [field: string]: unknown;
}

export interface Section {
  Found: boolean;
  Size: number;
  Digest: string;
  TOC: {
    Digest: string;
    CompressedOffset: number;
    CompressedSize: number;
    UncompressedSize: number;
    Flags: number;
  } | null;
}

export interface Member {
  Name: string;
  Type: string;
  Mode: number;
  Size: number;
  Digest?: string;
}

interface Manifest {
  Layers: readonly {
    mediaType: string;
    digest: string;
    annotations: Readonly<Record<string, string>>;
  }[];
  DiffIDs: readonly string[];
}

export interface Answer {
  Error?: string;
  Path?: string;
  Digest?: string;
  Digests?: readonly string[];
  Features?: readonly string[];
  Sections?: Readonly<Record<string, Section>>;
  Members?: readonly Member[];
  Image?: { Converted: Manifest; Reconverted: Manifest };
}

export interface Asked {
  answer: Answer;
  /** how the builder was called, a command each */
  commands: readonly string[];
  /** what the client has logged; of the builder, only what it has said */
  log: string;
  /** it had to be killed */
  hung: boolean;
}

/** What go is to do: with the modules that are named, and the compiler that is here. */
const GO = {
  ...process.env,
  GOTOOLCHAIN: 'local',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  CGO_ENABLED: '0',
};

const go = (argv: readonly string[], timeout: number): { ok: boolean; said: string } => {
  const { status, stderr, error } = spawnSync('go', argv, { cwd: SOURCE, env: GO, timeout });
  return { ok: status === 0, said: error?.message ?? stderr?.toString() ?? '' };
};

/** The client's program, or why it cannot be had here. */
export type Built = { program: string } | { missing: string };

/**
 * Builds the client, once for each state of its sources: whoever comes later finds it. It cannot be
 * had where there is no go, it is too old, or its modules cannot be reached. Throws if it does not
 * compile.
 */
export const buildClient = (): Built => {
  if (!go(['version'], 10_000).ok) return { missing: 'needs go' };
  const hash = createHash('sha256');
  for (const name of fs.readdirSync(SOURCE).sort()) {
    hash.update(`${name}\n`).update(fs.readFileSync(path.join(SOURCE, name)));
  }
  const program = path.join(BUILT, `go-client-${hash.digest('hex').slice(0, 16)}`);
  if (fs.existsSync(program)) return { program };
  const modules = go(['mod', 'download'], 90_000);
  if (!modules.ok) {
    return { missing: `needs Go modules: ${modules.said.trim().split('\n').at(-1)}` };
  }
  fs.mkdirSync(BUILT, { recursive: true });
  // others may be building it too
  const own = `${program}.${process.pid}`;
  const built = go(['build', '-o', own, '.'], 200_000);
  if (!built.ok) throw new Error(`the client does not build: ${built.said}`);
  fs.renameSync(own, program);
  return { program };
};

/** Runs what is $BUILDER, and notes how it was called. */
const LAUNCHER = `#!/bin/sh
printf '%s\\n' "$*" >>"$BUILDER_LOG"
exec "$BUILDER" "$@"
`;

/** The client. Each question is a process of its own. */
export class GoClient {
  readonly #program: string;
  readonly #directory: string;
  #count = 0;

  /** @param directory an empty one, for what it needs and leaves */
  constructor(program: string, directory: string) {
    this.#program = program;
    this.#directory = directory;
    fs.mkdirSync(path.join(directory, 'launcher'));
    fs.mkdirSync(path.join(directory, 'named'));
    fs.writeFileSync(this.launcher, LAUNCHER, { mode: 0o755 });
    fs.symlinkSync(CLI, path.join(this.named, 'nydus-image'));
  }

  get launcher(): string {
    return path.join(this.#directory, 'launcher/builder');
  }

  /** a directory for PATH, where our program has the name that the client looks for */
  get named(): string {
    return path.join(this.#directory, 'named');
  }

  /** The launcher is the builder unless one is given. */
  async ask(request: Request, timeoutMs = 60_000): Promise<Asked> {
    const log = path.join(this.#directory, `commands-${this.#count++}`);
    const { NODE_OPTIONS: _, ...env } = process.env; // what tap loads into every process
    const node = path.dirname(process.execPath);
    const child = spawn(this.#program, {
      env: {
        ...env,
        PATH: [this.named, node, env.PATH].join(':'),
        BUILDER: CLI,
        BUILDER_LOG: log,
        TMPDIR: this.#directory,
      },
    });
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdin.end(JSON.stringify({ Builder: this.launcher, ...request }));
    const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
    clearTimeout(timer);
    if (!hung && stdout.length === 0)
      throw new Error(`no answer from the client: ${stderr.toString()}`);
    return {
      // a client of ours: what it says is what Answer says
      answer: hung ? {} : (JSON.parse(stdout.toString()) as Answer),
      commands: fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trimEnd().split('\n') : [],
      log: stderr.toString(),
      hung,
    };
  }
}
