/** Conversions in which the network fails at a random point, and what has come of them. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import type { Test } from 'tap';
import { RafsError } from '../../../lib/errors.js';
import type { Mode } from '../../../lib/config/conversions.js';
import { convertImage } from '../../../streams/convert/convert-image.js';
import { RegistrySource, RegistryTarget } from '../../../streams/transport/registry.js';
import { layoutOf } from '../images/oci-layout.js';
import { temporaryDirectory } from '../process/fs.js';
import { numbers } from '../random.js';
import { tarOf } from '../tar/tar.js';
import { faultProxy, type Fault, type Plan } from './fault-proxy.js';
import { startRegistry } from './storage-servers.js';

/** Chunks of an upload are smaller than this layer. */
const LARGE = 20_000_000;
const MODES: readonly Mode[] = ['native', 'zran'];
const PAUSES = [1, 5, 20];

interface Manifest {
  config: { digest: string; size: number };
  layers: { digest: string; size: number }[];
}

const noiseOf = (size: number, next: (limit: number) => number): Buffer => {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(next(2 ** 32), at);
  return bytes;
};

/** A fault of any kind, and how often it happens: mostly so seldom that it can be mended. */
const randomFault = (next: (limit: number) => number): { fault: Fault; times: number } => {
  const kinds: readonly (() => Fault)[] = [
    () => ({ status: 429, headers: { 'retry-after': '0' } }),
    () => ({ status: [500, 502, 503][next(3)]! }),
    () => ({ status: 401 }),
    () => ({ status: [400, 403, 404, 416][next(4)]! }),
    () => ({ cutAnswer: next(2) === 0 ? next(200) : next(LARGE) }),
    () => ({ cutRequest: next(2) === 0 ? next(200) : next(9_000_000) }),
    () => ({ loseAnswer: true }),
    () => ({ delay: next(200) }),
  ];
  return { fault: kinds[next(kinds.length)]!(), times: [1, 1, 1, 2, 3, 100][next(6)]! };
};

/** From the given request on, so many requests fail. */
const planOf = (first: number, times: number, fault: Fault): Plan & { count: () => number } => {
  let count = 0;
  const plan: Plan = () => {
    const number = count++;
    return number >= first && number < first + times ? fault : undefined;
  };
  return Object.assign(plan, { count: () => count });
};

export interface FaultCounts {
  mended: number;
  failed: number;
}

/** Every run ends with the right image, or with an error that says why and no image. */
export const runFaults = async (t: Test, runs: number, seed: number): Promise<FaultCounts> => {
  const next = numbers(seed);
  const directory = temporaryDirectory(t);
  const storage = { filesystem: { rootdirectory: path.join(directory, 'registry') } };
  const registry = await startRegistry(t, directory, { storage });
  const proxy = await faultProxy(t, registry, () => undefined);
  const [large, small] = [
    tarOf([{ name: 'large', content: noiseOf(LARGE, next) }]),
    tarOf([{ name: 'small', content: 'small' }]),
  ];
  layoutOf(path.join(directory, 'src'), { layers: [{ tar: large }, { tar: small }] });
  const argv = ['copy', '-q', '--dest-tls-verify=false', `oci:${directory}/src:t`];
  execFileSync('skopeo', [...argv, `docker://${registry}/source:1`]);

  /** Converts into a repository where nothing is; resolves to the digest of the result. */
  const convert = async (repository: string, mode: Mode): Promise<string> => {
    const source = new RegistrySource(`${proxy.host}/source:1`, { pauses: PAUSES });
    const target = new RegistryTarget(`${proxy.host}/${repository}:1`, { pauses: PAUSES });
    try {
      return (await convertImage({ source, target, mode, compressor: 'none' })).digest;
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  };
  /** What the registry has under the name, asked without a proxy. */
  const check = async (repository: string): Promise<string | undefined> => {
    const base = `http://${registry}/v2/${repository}`;
    const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
    const answer = await fetch(`${base}/manifests/1`, { headers });
    if (answer.status === 404) return undefined;
    const { config, layers } = (await answer.json()) as Manifest;
    for (const { digest, size } of [config, ...layers]) {
      const head = await fetch(`${base}/blobs/${digest}`, { method: 'HEAD' });
      t.equal(Number(head.headers.get('content-length')), size, `${repository} has ${digest}`);
    }
    return answer.headers.get('docker-content-digest') ?? '';
  };

  const due = new Map<Mode, { digest: string; requests: number }>();
  for (const mode of MODES) {
    const plan = planOf(0, 0, {});
    proxy.plan = plan;
    due.set(mode, { digest: await convert(`right-${mode}`, mode), requests: plan.count() });
  }
  const counts: FaultCounts = { mended: 0, failed: 0 };
  for (let run = 0; run < runs; run++) {
    const mode = MODES[run % MODES.length]!;
    const { digest, requests } = due.get(mode)!;
    const { fault, times } = randomFault(next);
    const first = next(requests);
    const what = `run ${run}, ${mode}, request ${first}, ${times} times ${JSON.stringify(fault)}`;
    proxy.plan = planOf(first, times, fault);
    const repository = `run-${seed}-${run}`;
    try {
      t.equal(await convert(repository, mode), digest, what);
      t.equal(await check(repository), digest, `${what}: the right image`);
      counts.mended++;
    } catch (error) {
      t.ok(error instanceof RafsError, `${what}: ${String(error)}`);
      t.equal(await check(repository), undefined, `${what}: no image after ${String(error)}`);
      counts.failed++;
    }
  }
  return counts;
};
