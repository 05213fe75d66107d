/** Platforms: which manifest of an index is for whom. */
import { RafsError } from '../errors.js';
import type { Platform } from './descriptor.js';

const ARCHITECTURES: Readonly<Record<string, [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  x64: ['amd64'],
  i386: ['386'],
  i686: ['386'],
  ia32: ['386'],
  aarch64: ['arm64'],
  arm64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};

/** `linux/arm64/v8`, or only the architecture or the system. */
export const parsePlatform = (text: string): Platform => {
  const parts = text.trim().toLowerCase().split('/');
  const wellFormed = parts.length <= 3 && parts.every(part => /^[a-z0-9_.-]+$/.test(part));
  if (!wellFormed) {
    throw new RafsError('USAGE', `invalid platform '${text}', expected OS/ARCHITECTURE[/VARIANT]`);
  }
  const [first = '', second, third] = parts;
  if (second === undefined) {
    return first === 'linux' || first === 'windows'
      ? normalPlatform({ ...hostPlatform(), os: first })
      : normalPlatform({ os: 'linux', architecture: first });
  }
  return normalPlatform({
    os: first,
    architecture: second,
    ...(third === undefined ? {} : { variant: third }),
  });
};

/** The names that images use. */
const normalPlatform = (platform: Platform): Platform => {
  const { architecture, variant, ...rest } = platform;
  const [name, implied] = Object.hasOwn(ARCHITECTURES, architecture)
    ? ARCHITECTURES[architecture]!
    : [architecture];
  const given = variant ?? implied ?? (name === 'arm' ? 'v7' : undefined);
  // v8 and v1 are what these architectures mean without a variant
  const plain = (name === 'arm64' && given === 'v8') || (name === 'amd64' && given === 'v1');
  return { ...rest, architecture: name, ...(given && !plain ? { variant: given } : {}) };
};

/** This machine's; containers of other systems than Linux have no Nydus. */
export const hostPlatform = (): Platform =>
  normalPlatform({ os: 'linux', architecture: process.arch });

export const samePlatform = (a: Platform, b: Platform): boolean => {
  const [x, y] = [normalPlatform(a), normalPlatform(b)];
  return x.os === y.os && x.architecture === y.architecture && x.variant === y.variant;
};

export const platformText = ({ os, architecture, variant }: Platform): string =>
  `${os}/${architecture}${variant ? `/${variant}` : ''}`;
