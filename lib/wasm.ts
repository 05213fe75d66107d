/** Our own WebAssembly modules: compiled by assembly/build.mjs, they lie beside this file. */
import { readFileSync } from 'node:fs';

interface Memory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of 64 KiB; views of `buffer` made before are void then. Throws a RangeError. */
  grow(pages: number): number;
}

// Node has WebAssembly, but its types only come with those of the browser
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
};

const modules = new Map<string, object>();

/**
 * A new instance of the module `name`; the module is read and compiled once.
 *
 * `F` are the functions it exports: numbers in, a number or nothing out.
 */
export const instantiate = <F extends object>(name: string): F & { readonly memory: Memory } => {
  let module = modules.get(name);
  if (!module) {
    module = new WebAssembly.Module(readFileSync(new URL(`./${name}.wasm`, import.meta.url)));
    modules.set(name, module);
  }
  // what a module exports is known to who wrote both sides, and to no type
  return new WebAssembly.Instance(module, {}).exports as F & { readonly memory: Memory };
};
