/** What a command may say, and to whom. */
export interface CommandIo {
  /** text for standard output; awaited, so that a slow reader holds the command back */
  stdout(text: string): void | Promise<void>;
  log: {
    info(message: string): void;
    warn(message: string): void;
    error(message: string): void;
  };
}

/** Gathers small pieces of text into writes of 64 KiB. */
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
