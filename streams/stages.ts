/** What a program imports from 'rafs-stream/stages': the stages, to be composed with `pipeline`. */
export { chunkBatcher } from './build/chunk-batcher.js';
export { blobWriter } from './build/blob-writer.js';
export { bootstrapFinalizer } from './build/bootstrap-finalizer.js';
export { chunker } from './build/chunker.js';
export { compressor } from './build/compressor.js';
export { digester } from './build/digester.js';
export { openArtifacts } from './build/artifact-writer.js';
export { openSource, sourceOf } from './io/source.js';
export { dirWalk } from './layer/dir-walk.js';
export { gunzip } from './layer/gunzip.js';
export { tarDemux } from './layer/tar-demux.js';
export { unzstd } from './layer/unzstd.js';
export { tarMux } from './read/tar-mux.js';
export { Stage } from './stage.js';
export type { Batch } from './batch.js';
