/**
 * A link between a client and a server on this machine that takes its time: a delay each way, and so
 * many bytes a second.
 */
import net from 'node:net';

export interface LinkShape {
  /** milliseconds there and back */
  roundTrip: number;
  bytesPerSecond: number;
}

/** Bytes that are under way at most, before a sender is told to wait. */
const UNDER_WAY = 0x40_0000;

/** Passes on what comes, each piece when it would have arrived. */
const carry = (
  from: net.Socket,
  to: net.Socket,
  { roundTrip, bytesPerSecond }: LinkShape,
): void => {
  /** pieces in their order, and when they arrive; without bytes, the end */
  const pieces: { time: number; bytes?: Buffer }[] = [];
  let free = 0; // when the link has sent what it was given
  let underWay = 0;
  let waiting = false;
  const deliver = (): void => {
    waiting = false;
    const now = performance.now();
    for (let next = pieces[0]; next && next.time <= now; next = pieces[0]) {
      pieces.shift();
      const { bytes } = next;
      if (!bytes) to.end();
      else {
        underWay -= bytes.length;
        if (to.writable) to.write(bytes);
      }
    }
    if (underWay <= UNDER_WAY / 2) from.resume();
    wait();
  };
  const wait = (): void => {
    const next = pieces[0];
    if (!next || waiting) return;
    waiting = true;
    setTimeout(deliver, Math.max(0, next.time - performance.now()));
  };
  from.on('data', (bytes: Buffer) => {
    free = Math.max(free, performance.now()) + (bytes.length / bytesPerSecond) * 1000;
    underWay += bytes.length;
    if (underWay > UNDER_WAY) from.pause();
    pieces.push({ time: free + roundTrip / 2, bytes });
    wait();
  });
  from.on('end', () => {
    pieces.push({ time: Math.max(free, performance.now()) + roundTrip / 2 });
    wait();
  });
  from.on('error', () => to.destroy());
};

/** Opens the link to a server; its port. */
export const openLink = async (
  server: { host: string; port: number },
  shape: LinkShape,
): Promise<{ port: number; close: () => void }> => {
  const link = net.createServer({ allowHalfOpen: true }, client => {
    const onward = net.connect({ ...server, allowHalfOpen: true });
    carry(client, onward, shape);
    carry(onward, client, shape);
  });
  await new Promise<void>(resolve => link.listen(0, '127.0.0.1', resolve));
  const { port } = link.address() as net.AddressInfo; // of a server that listens on TCP
  return { port, close: () => link.close() };
};
