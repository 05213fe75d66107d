/** Which images of a source are meant: those of the platforms that were asked for. */
import { RafsError } from '../../lib/errors.js';
import { Annotation } from '../../lib/oci/annotations.js';
import type { Descriptor, Platform, RawManifest } from '../../lib/oci/descriptor.js';
import { parseManifest, type Index, type Manifest } from '../../lib/oci/manifest.js';
import { MediaType } from '../../lib/oci/media-types.js';
import { hostPlatform, platformText, samePlatform } from '../../lib/oci/platform.js';
import type { ImageSource } from '../transport/source.js';

/** `host`: this machine's platform where there is a choice. */
export type Platforms = 'host' | 'all' | readonly Platform[];

export interface SelectedImage {
  raw: RawManifest;
  manifest: Manifest;
  /** as the index says, if there is one */
  descriptor: Descriptor | undefined;
}

export interface Selection {
  /** what the source's name stands for, if it is an index */
  index: Index | undefined;
  images: SelectedImage[];
}

/** How old images say that they are Nydus ones; no longer written. */
const OS_FEATURE = 'nydus.remoteimage.v1';

const isNydusDescriptor = ({ artifactType, platform }: Descriptor): boolean =>
  artifactType === MediaType.NYDUS_MANIFEST ||
  platform?.['os.features']?.includes(OS_FEATURE) === true;

const isAttestation = ({ annotations }: Descriptor): boolean =>
  annotations?.[Annotation.DOCKER_REFERENCE_TYPE] !== undefined;

export interface SelectOptions {
  platforms: Platforms;
  /** take the Nydus images of an index instead of the ordinary ones */
  nydus?: boolean;
  notice: (text: string) => void;
}

export const selectImages = async (
  source: ImageSource,
  { platforms, nydus = false, notice }: SelectOptions,
): Promise<Selection> => {
  const raw = await source.manifest();
  const top = parseManifest(raw);
  if (top.kind === 'manifest') {
    return { index: undefined, images: [{ raw, manifest: top, descriptor: undefined }] };
  }
  const attestations = top.manifests.filter(isAttestation).length;
  if (attestations > 0) {
    const what = attestations === 1 ? 'an attestation' : `${attestations} attestations`;
    notice(`${what} of the source left out: they speak of manifests that the result does not have`);
  }
  const known = top.manifests.filter(one => !isAttestation(one));
  const others = known.filter(one => isNydusDescriptor(one) === nydus);
  const wanted = others.length > 0 || !nydus ? others : known;
  const images: SelectedImage[] = [];
  for (const descriptor of chosen(wanted, platforms, source.name)) {
    const found = await source.manifest(descriptor.digest);
    const manifest = parseManifest(found);
    if (manifest.kind === 'index') {
      throw new RafsError('UNSUPPORTED', 'an index within an index is not supported', {
        image: source.name,
        manifest: descriptor.digest,
      });
    }
    images.push({ raw: found, manifest, descriptor });
  }
  return { index: top, images };
};

const chosen = (
  all: readonly Descriptor[],
  platforms: Platforms,
  image: string,
): readonly Descriptor[] => {
  if (platforms === 'all') {
    if (all.length > 0) return all;
    throw new RafsError('UNSUPPORTED', 'the index has no images', { image });
  }
  const wanted = platforms === 'host' ? [hostPlatform()] : platforms;
  return wanted.map(platform => {
    const found = all.find(one => one.platform && samePlatform(one.platform, platform));
    // one that says nothing of its platform is for everyone, if it is the only one
    if (found) return found;
    if (all.length === 1 && !all[0]!.platform) return all[0]!;
    const listed = all.map(one => (one.platform ? platformText(one.platform) : '?')).join(', ');
    throw new RafsError(
      'UNSUPPORTED',
      `there is no image for ${platformText(platform)}, only for: ${listed || 'nothing'}`,
      { image },
    );
  });
};
