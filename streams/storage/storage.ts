/** Storages of blobs. The code for each kind is loaded when one is opened. */
import type { Backend } from '../../lib/config/backends.js';
import type { RandomBytes } from '../io/reader-at.js';

export interface Storage {
  /**
   * Opens a blob. Connections live as long as any blob of the storage is open.
   *
   * Fails with the system's error for files, with BACKEND if a server or a disk does not have it.
   * @param id latin1; the caller must have refused one that could lead elsewhere
   */
  open(id: string): Promise<RandomBytes>;
}

export const openStorage = async (backend: Backend): Promise<Storage> => {
  switch (backend.type) {
    case 'localfs': {
      const { localFs } = await import('./local-fs.js');
      return localFs(backend);
    }
    case 'localdisk': {
      const { localDisk } = await import('./local-disk.js');
      return localDisk(backend);
    }
    case 'http-proxy': {
      const { httpProxy } = await import('./http-proxy.js');
      return httpProxy(backend);
    }
    case 'registry': {
      const { registry } = await import('./registry.js');
      return registry(backend);
    }
    case 's3': {
      const { s3 } = await import('./s3.js');
      return s3(backend);
    }
    case 'oss': {
      const { oss } = await import('./oss.js');
      return oss(backend);
    }
  }
};
