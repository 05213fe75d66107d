/** Our own WebAssembly modules, which assembly/build.mjs compiles; they lie beside this file. */
import { readFileSync } from 'node:fs';

interface Memory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of 64 KiB, or throws a RangeError. Earlier views of `buffer` become invalid. */
  grow(pages: number): number;
}

// Node has WebAssembly, but only the types for browsers declare it
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
};

const modules = new Map<string, object>();

/**
 * A new instance of the module `name`; the module is read and compiled once.
 *
 * `F` has the functions that it exports: numbers in, a number or nothing out.
 */
export const instantiate = <F extends object>(name: string): F & { readonly memory: Memory } => {
  let module = modules.get(name);
  if (!module) {
    module = new WebAssembly.Module(readFileSync(new URL(`./${name}.wasm`, import.meta.url)));
    modules.set(name, module);
  }
  // no type can tell what a module exports, but both sides are ours
  return new WebAssembly.Instance(module, {}).exports as F & { readonly memory: Memory };
};
