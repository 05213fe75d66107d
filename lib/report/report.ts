/** What a report says of images: plain data, as the page gets it. */

/** Counts of a set of files. Bytes are of content, and as the chunks are stored. */
export interface Sums {
  files: number;
  size: number;
  stored: number;
}

/** A blob of an image: in a whole image, what became of a layer. */
export interface ReportBlob {
  id: string;
  compressor: string;
  /** bytes of the blob as the image states them; 0 if it does not */
  stored: number;
  /** bytes of its chunks when they are unpacked */
  unpacked: number;
  chunks: number;
  usedChunks: number;
  /** bytes of the chunks that are used, as they are stored */
  used: number;
  /** bytes of the ordinary layer that it was made of, if that is known */
  layer?: number;
}

export interface FileFacts {
  path: string;
  size: number;
  stored: number;
}

export interface DuplicateFiles {
  size: number;
  count: number;
  /** the first of them */
  paths: string[];
}

export interface KindSums extends Sums {
  kind: string;
}

/** Equal chunks that two blobs of an image both have. */
export interface SharedChunks {
  a: number;
  b: number;
  chunks: number;
  stored: number;
}

/** A record of the bootstrap, byte by byte. */
export interface RecordDump {
  record: string;
  offset: number;
  fields: { name: string; offset: number; bytes: string; value: string }[];
}

export interface ImageReport {
  name: string;
  mode: 'native' | 'zran' | 'tarfs';
  fsVersion: number;
  compressor: string;
  digester: string;
  chunkSize: number;
  bootstrap: number;
  directories: number;
  symlinks: number;
  others: number;
  /** names of files; the bytes of a file with several names count once */
  all: Sums;
  /** distinct chunks, and their bytes before and after compression */
  chunks: { count: number; size: number; stored: number };
  blobs: ReportBlob[];
  kinds: KindSums[];
  largest: FileFacts[];
  duplicates: { groups: number; files: number; size: number; largest: DuplicateFiles[] };
  shared: SharedChunks[];
  prefetch: Sums & { paths: string[] };
  dumps: RecordDump[];
  /** where the image's columns lie in what follows the JSON; see `TreeColumns` */
  tree: { names: number; offsets: number[] };
}

/** What a node that has one image lacks of another. */
export interface PullCost {
  from: number;
  to: number;
  /** of the other image's chunks, those in blobs and places that the node has not */
  chunks: number;
  bytes: number;
  /** of these, the ones whose content it has in another blob: a chunk dictionary spares them */
  known: { chunks: number; bytes: number };
}

export interface Report {
  images: ImageReport[];
  pulls: PullCost[];
}
