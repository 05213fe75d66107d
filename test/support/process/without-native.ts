/** Loads a module anew on a machine that lacks some native packages, as far as the module sees. */
import Module from 'node:module';

// the one function through which require() loads everything; it has no public type
const loader = Module as unknown as {
  _load: (this: void, request: string, ...rest: unknown[]) => unknown;
};

let loads = 0;

/**
 * @param url of the module, as from import.meta.resolve
 * @param packages that cannot be required
 * @param prepare runs while they cannot
 */
export const withoutNative = async <M, T>(
  url: URL,
  packages: readonly string[],
  prepare: (module: M) => Promise<T>,
): Promise<T> => {
  const load = loader._load;
  let refused = 0;
  loader._load = (request, ...rest) => {
    if (packages.some(name => request === name || request.startsWith(`${name}/`))) {
      refused++;
      throw new Error(`Cannot find module '${request}'`);
    }
    return load(request, ...rest);
  };
  try {
    const fresh = (await import(`${url.href}?without=${++loads}`)) as M;
    const result = await prepare(fresh);
    if (refused === 0) throw new Error(`${packages.join()} were not asked for`);
    return result;
  } finally {
    loader._load = load;
  }
};
