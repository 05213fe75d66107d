/** Makes zstd frames with libzstd itself; undefined where its package could not be installed. */
import { zstdBinding } from '../../../lib/compress/zstd-engine.js';

interface FrameOptions {
  level?: number;
  checksum?: boolean;
  /** the content's size in the header */
  contentSize?: boolean;
  windowLog?: number;
}

export type MakeFrame = (plain: Buffer, options?: FrameOptions) => Buffer;

export const makeFrame: MakeFrame | undefined = (() => {
  const binding = zstdBinding();
  if (!binding) return undefined;
  const { CCtx, CParameter, EndDirective } = binding;
  return (plain, { level = 3, checksum = false, contentSize = true, windowLog } = {}) => {
    const encoder = new CCtx();
    encoder.setParameter(CParameter.compressionLevel, level);
    encoder.setParameter(CParameter.checksumFlag, Number(checksum));
    encoder.setParameter(CParameter.contentSizeFlag, Number(contentSize));
    if (windowLog) encoder.setParameter(CParameter.windowLog, windowLog);
    const out = Buffer.alloc(plain.length + 1000);
    if (contentSize) return Buffer.from(out.subarray(0, encoder.compress2(out, plain)));
    // a flush ends a block: a frame then has several, and cannot know its size beforehand
    const half = plain.length >> 1;
    const steps = [
      [plain.subarray(0, half), EndDirective.flush],
      [plain.subarray(half), EndDirective.end],
    ] as const;
    let size = 0;
    for (const [part, directive] of steps) {
      const [left, made] = encoder.compressStream2(out.subarray(size), part, directive);
      if (left !== 0) throw new Error('the frame did not fit');
      size += made;
    }
    return Buffer.from(out.subarray(0, size));
  };
})();

/** A frame that decoders skip. */
export const skippableFrame = (content: Buffer, variant = 0): Buffer => {
  const head = Buffer.from([0x50 + variant, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
};

/** A frame of one stored block of up to 0x1f bytes, whose window is 2^windowLog bytes. */
export const storedFrame = (content: Buffer, windowLog = 10): Buffer =>
  Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]),
    Buffer.from([(content.length << 3) | 1, 0, 0]),
    content,
  ]);
