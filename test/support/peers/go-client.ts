/** The library by which containerd converts images, with our program as its builder. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CLI } from '../process/cli.js';

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
