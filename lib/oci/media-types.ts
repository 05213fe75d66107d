/** Media types: which document or layer bytes are. */
import { RafsError } from '../errors.js';

const OCI = 'application/vnd.oci.image';
const DOCKER = 'application/vnd.docker';

export const MediaType = {
  INDEX: `${OCI}.index.v1+json`,
  MANIFEST: `${OCI}.manifest.v1+json`,
  CONFIG: `${OCI}.config.v1+json`,
  LAYER: `${OCI}.layer.v1.tar`,
  LAYER_GZIP: `${OCI}.layer.v1.tar+gzip`,
  LAYER_ZSTD: `${OCI}.layer.v1.tar+zstd`,
  NYDUS_BLOB: `${OCI}.layer.nydus.blob.v1`,
  NYDUS_CONFIG: 'application/vnd.nydus.image.config.v1+json',
  NYDUS_MANIFEST: 'application/vnd.nydus.image.manifest.v1+json',
  DOCKER_LIST: `${DOCKER}.distribution.manifest.list.v2+json`,
  DOCKER_MANIFEST: `${DOCKER}.distribution.manifest.v2+json`,
  DOCKER_CONFIG: `${DOCKER}.container.image.v1+json`,
  DOCKER_LAYER: `${DOCKER}.image.rootfs.diff.tar`,
  DOCKER_LAYER_GZIP: `${DOCKER}.image.rootfs.diff.tar.gzip`,
  DOCKER_LAYER_ZSTD: `${DOCKER}.image.rootfs.diff.tar.zstd`,
} as const;

/** Docker's types and the OCI types that mean the same. */
const OCI_TYPES: Readonly<Record<string, string>> = {
  [MediaType.DOCKER_LIST]: MediaType.INDEX,
  [MediaType.DOCKER_MANIFEST]: MediaType.MANIFEST,
  [MediaType.DOCKER_CONFIG]: MediaType.CONFIG,
  [MediaType.DOCKER_LAYER]: MediaType.LAYER,
  [MediaType.DOCKER_LAYER_GZIP]: MediaType.LAYER_GZIP,
  [MediaType.DOCKER_LAYER_ZSTD]: MediaType.LAYER_ZSTD,
};

/** The OCI type for one of Docker's; any other as it is. */
export const ociType = (mediaType: string): string =>
  Object.hasOwn(OCI_TYPES, mediaType) ? OCI_TYPES[mediaType]! : mediaType;

const LAYERS: ReadonlySet<string> = new Set([
  MediaType.LAYER,
  MediaType.LAYER_GZIP,
  MediaType.LAYER_ZSTD,
]);

/** Refuses a layer that is not a tar which its registry holds. */
export const checkLayerType = (mediaType: string, digest: string): void => {
  if (LAYERS.has(ociType(mediaType))) return;
  const foreign = /nondistributable|\.foreign\./.test(mediaType);
  const encrypted = mediaType.endsWith('+encrypted');
  const why = foreign
    ? 'a foreign layer, which its registry does not hold, cannot be converted'
    : encrypted
      ? 'an encrypted layer cannot be converted'
      : 'a layer of this type cannot be converted';
  throw new RafsError('UNSUPPORTED', `${why}: ${mediaType}`, { layer: digest });
};
