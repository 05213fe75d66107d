/** The output channels of a command. */
export interface CommandIo {
  /** writes text to standard output; awaited, so that a slow reader holds the command back */
  stdout(text: string): void | Promise<void>;
  log: {
    info(message: string): void;
    warn(message: string): void;
    error(message: string): void;
  };
}

/** Collects small pieces of text into writes of 64 KiB. */
export class TextBuffer {
  #io: CommandIo;
  #text = '';

  constructor(io: CommandIo) {
    this.#io = io;
  }

  async write(text: string): Promise<void> {
    this.#text += text;
    if (this.#text.length >= 0x10000) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (text !== '') await this.#io.stdout(text);
  }
}
