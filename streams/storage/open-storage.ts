import type { Backend } from '../../lib/config/backends.js';
import type { Storage } from './storage.js';

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
