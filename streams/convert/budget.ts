/** Lets work begin while its weight fits into a budget; the rest waits its turn. */
export class Budget {
  readonly #limit: number;
  #used = 0;
  readonly #waiting: { weight: number; begin: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs work once there is room; something heavier than the whole budget runs alone. */
  async run<T>(weight: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(weight)) {
      await new Promise<void>(begin => this.#waiting.push({ weight, begin }));
    } else this.#used += weight;
    try {
      return await work();
    } finally {
      this.#used -= weight;
      this.#admit();
    }
  }

  #fits(weight: number): boolean {
    return this.#used === 0 || this.#used + weight <= this.#limit;
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next.weight); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.weight;
      next.begin();
    }
  }
}
