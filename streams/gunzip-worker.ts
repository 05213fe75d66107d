/**
 * The thread behind `gunzip({ worker: true })`: gzip bytes in, plain pieces out, both transferred.
 *
 * It makes a piece only when asked for one, which bounds the data in flight.
 */
import { parentPort } from 'node:worker_threads';
import { RafsError, type Code, type Place } from '../lib/errors.js';
import { GzipDecoder } from './gunzip.js';

/** `more` asks for one more piece; PIECES_AHEAD are asked for from the start. */
export type GunzipRequest =
  { kind: 'bytes'; bytes: Uint8Array } | { kind: 'end' } | { kind: 'more' };

/** `used` comes once for every `bytes`, when all their output has been sent. */
export type GunzipReply =
  | { kind: 'piece'; bytes: Uint8Array }
  | { kind: 'used' }
  | { kind: 'done' }
  | { kind: 'failed'; code: Code; message: string; at: Place };

const PIECES_AHEAD = 4;

if (!parentPort) throw new Error('gunzip-worker runs in a worker thread');
const port = parentPort;
const decoder = new GzipDecoder();
const waiting: Uint8Array[] = [];
let pieces: Iterator<Buffer> | undefined; // of the bytes being decoded
let asked = PIECES_AHEAD;
let ended = false;

const reply = (message: GunzipReply): void => {
  // a piece has an ArrayBuffer of its own, see Inflater.take
  const handedOver = message.kind === 'piece' ? [message.bytes.buffer as ArrayBuffer] : [];
  port.postMessage(message, handedOver);
};

const work = (): void => {
  while (asked > 0) {
    const bytes = pieces ? undefined : waiting.shift();
    if (bytes) pieces = decoder.push(bytes)[Symbol.iterator]();
    if (!pieces) {
      if (!ended) return;
      decoder.end();
      reply({ kind: 'done' });
      port.close();
      return;
    }
    const next = pieces.next();
    if (next.done) {
      pieces = undefined;
      reply({ kind: 'used' });
    } else {
      asked--;
      reply({ kind: 'piece', bytes: next.value });
    }
  }
};

port.on('message', (request: GunzipRequest) => {
  if (request.kind === 'bytes') waiting.push(request.bytes);
  else if (request.kind === 'end') ended = true;
  else asked++;
  try {
    work();
  } catch (error) {
    if (!(error instanceof RafsError)) throw error;
    reply({ kind: 'failed', code: error.code, message: error.message, at: error.at });
    port.close();
  }
});
