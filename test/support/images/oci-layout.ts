/** OCI layouts that no program of ours has written: JSON, gzip and sha256 alone. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

export const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export interface LayoutLayer {
  tar: Buffer;
  /** as it is stored; default: gzip of the tar */
  stored?: Buffer;
  mediaType?: string;
}

export interface LayoutImage {
  layers: readonly LayoutLayer[];
  /** fields of the config besides rootfs and history */
  config?: Record<string, unknown>;
  manifest?: Record<string, unknown>;
  platform?: Record<string, unknown>;
  configType?: string;
  descriptor?: Record<string, unknown>;
}

const OCI = 'application/vnd.oci.image';

/** Writes a blob; returns its descriptor. */
export const putBlob = (directory: string, bytes: Buffer, mediaType: string) => {
  const digest = digestOf(bytes);
  const blobs = path.join(directory, 'blobs', 'sha256');
  fs.mkdirSync(blobs, { recursive: true });
  fs.writeFileSync(path.join(blobs, digest.slice(7)), bytes);
  return { mediaType, digest, size: bytes.length };
};

/** Writes an image's blobs and manifest; returns the manifest's descriptor. */
export const putImage = (directory: string, image: LayoutImage) => {
  const platform = image.platform ?? { architecture: 'amd64', os: 'linux' };
  const layers = image.layers.map(
    ({ tar, stored = gzipSync(tar), mediaType = `${OCI}.layer.v1.tar+gzip` }) =>
      putBlob(directory, stored, mediaType),
  );
  const config = {
    created: '2024-01-01T00:00:00Z',
    ...platform,
    ...image.config,
    rootfs: { type: 'layers', diff_ids: image.layers.map(({ tar }) => digestOf(tar)) },
    history: image.layers.map((_, i) => ({ created_by: `layer ${i}` })),
  };
  const configType = image.configType ?? `${OCI}.config.v1+json`;
  const manifest = {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: putBlob(directory, Buffer.from(JSON.stringify(config)), configType),
    layers,
    ...image.manifest,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { ...putBlob(directory, bytes, `${OCI}.manifest.v1+json`), ...image.descriptor };
};

/** Writes `index.json`: the layout's images by tag. */
export const writeLayout = (directory: string, images: Record<string, object>): void => {
  const manifests = Object.entries(images).map(([tag, descriptor]) => ({
    ...descriptor,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }));
  fs.writeFileSync(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  fs.writeFileSync(
    path.join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests }),
  );
};

/** A layout with one image, tagged `t`. */
export const layoutOf = (directory: string, image: LayoutImage): void =>
  writeLayout(directory, { t: putImage(directory, image) });

export interface ReadManifest {
  mediaType?: string;
  config: { mediaType: string; digest: string };
  layers: {
    mediaType: string;
    digest: string;
    size: number;
    annotations: Record<string, string>;
  }[];
  annotations?: Record<string, string>;
  subject?: { digest: string };
  artifactType?: string;
}

const readJson = (directory: string, digest: string): unknown =>
  JSON.parse(fs.readFileSync(path.join(directory, 'blobs/sha256', digest.slice(7)), 'utf8'));

/** The document that a tag of a layout stands for. */
export const taggedDocument = (directory: string, tag: string): Record<string, unknown> => {
  const index = JSON.parse(fs.readFileSync(path.join(directory, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  const found = index.manifests.find(
    one => one.annotations['org.opencontainers.image.ref.name'] === tag,
  )!;
  return readJson(directory, found.digest) as Record<string, unknown>;
};

export const taggedManifest = (directory: string, tag: string): ReadManifest =>
  taggedDocument(directory, tag) as unknown as ReadManifest;

export const configOf = (directory: string, { config }: ReadManifest): Record<string, unknown> =>
  readJson(directory, config.digest) as Record<string, unknown>;

/** Says why a test cannot run without a program. */
export const withoutProgram = (program: string, ...argv: readonly string[]): string | false =>
  spawnSync(program, argv).error ? `needs ${program}` : false;
