/** Stands between a client and a registry, and does to their connections what networks do. */
import http from 'node:http';
import { serve, type TestServer } from './http.js';

interface Teardown {
  teardown(work: () => unknown): void;
}

export interface Fault {
  /** answer so, and do not ask the registry */
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** break the connection after so many bytes of the answer's body */
  cutAnswer?: number;
  /** break both connections after so many bytes of the request's body */
  cutRequest?: number;
  /** milliseconds before the registry is asked */
  delay?: number;
  /** the registry does what it is asked, and its answer is lost */
  loseAnswer?: true;
}

/** What happens to a request; undefined for nothing. */
export type Plan = (request: http.IncomingMessage) => Fault | undefined;

export const faultProxy = async (
  t: Teardown,
  registry: string,
  plan: Plan,
): Promise<TestServer & { plan: Plan }> => {
  const server = await serve(t, (request, response) => {
    const fault = proxy.plan(request) ?? {};
    if (fault.delay !== undefined) {
      const { delay, ...later } = fault;
      setTimeout(() => answer(request, response, later), delay);
    } else answer(request, response, fault);
  });
  const answer = (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    fault: Fault,
  ): void => {
    if (fault.status !== undefined) {
      request.resume();
      response.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    const { host: _, ...headers } = request.headers;
    const onward = http.request(`http://${registry}${request.url}`, {
      method: request.method,
      headers: { ...headers, host: proxy.host },
    });
    const cut = (): void => {
      onward.destroy();
      request.socket.destroy();
    };
    onward.on('error', () => request.socket.destroy());
    onward.on('response', answer => {
      if (fault.loseAnswer) {
        answer.resume().on('end', cut);
        return;
      }
      response.writeHead(answer.statusCode!, answer.headers);
      let left = fault.cutAnswer ?? Infinity;
      answer.on('error', cut);
      answer.on('data', (piece: Buffer) => {
        if (piece.length < left) {
          left -= piece.length;
          if (!response.write(piece)) {
            answer.pause();
            response.once('drain', () => answer.resume());
          }
          return;
        }
        answer.pause();
        response.write(piece.subarray(0, left), cut);
        left = 0;
      });
      answer.on('end', () => response.end());
    });
    let left = fault.cutRequest ?? Infinity;
    request.on('data', (piece: Buffer) => {
      if (left === Infinity) {
        onward.write(piece);
        return;
      }
      const part = piece.subarray(0, left);
      left -= part.length;
      onward.write(part, () => left === 0 && cut());
    });
    request.on('end', () => onward.end());
  };
  const proxy = Object.assign(server, { plan });
  return proxy;
};

/** A plan that does this to the first requests of a method whose path matches. */
export const firstOf = (method: string, path: RegExp, ...faults: readonly Fault[]): Plan => {
  const left = [...faults];
  return request =>
    request.method === method && path.test(request.url ?? '') ? left.shift() : undefined;
};
