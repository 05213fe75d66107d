/** Annotations by which readers of Nydus images find their way. */

const SNAPSHOT = 'containerd.io/snapshot';

export const Annotation = {
  BLOB: `${SNAPSHOT}/nydus-blob`,
  BOOTSTRAP: `${SNAPSHOT}/nydus-bootstrap`,
  FS_VERSION: `${SNAPSHOT}/nydus-fs-version`,
  /** on a data layer that only refers to an ordinary one: the digest of that one */
  REFERENCE: `${SNAPSHOT}/nydus-ref`,
  ENCRYPTED: `${SNAPSHOT}/nydus-encrypted-blob`,
  EMPTY_LAYER: `${SNAPSHOT}/nydus-empty-layer`,
  SOURCE_DIGEST: `${SNAPSHOT}/nydus-source-digest`,
  SOURCE_REFERENCE: `${SNAPSHOT}/nydus-source-reference`,
  CACHE_VERSION: `${SNAPSHOT}/nydus-cache-version`,
  UNCOMPRESSED: 'containerd.io/uncompressed',
  /** BuildKit's: what a manifest of an index is instead of an image */
  DOCKER_REFERENCE_TYPE: 'vnd.docker.reference.type',
  DOCKER_REFERENCE_DIGEST: 'vnd.docker.reference.digest',
  REF_NAME: 'org.opencontainers.image.ref.name',
  CONTAINERD_IMAGE_NAME: 'io.containerd.image.name',
} as const;
