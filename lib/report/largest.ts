/** Keeps the entries with the greatest weight, of any number that pass by. */
export class Largest<T> {
  readonly #room: number;
  readonly #weight: (one: T) => number;
  #kept: T[] = [];

  constructor(room: number, weight: (one: T) => number) {
    this.#room = room;
    this.#weight = weight;
  }

  add(one: T): void {
    this.#kept.push(one);
    // sorted seldom, so that it costs little for each
    if (this.#kept.length >= this.#room * 8) this.#kept = this.sorted();
  }

  /** The greatest first; of equals, those that came first. */
  sorted(): T[] {
    return [...this.#kept].sort((a, b) => this.#weight(b) - this.#weight(a)).slice(0, this.#room);
  }
}
