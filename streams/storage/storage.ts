/** Storages of blobs. The code for each kind is loaded when one is opened. */
import type { ReaderAt } from '../io/reader-at.js';

export interface Storage {
  /**
   * Opens a blob. Connections live as long as any blob of the storage is open.
   *
   * Fails with the system's error for files, with BACKEND if a server or a disk does not have it.
   * @param id latin1; the caller must have refused one that could lead elsewhere
   */
  open(id: string): Promise<ReaderAt>;
}
