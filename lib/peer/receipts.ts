/**
 * Which of the peer's messages are where they belong, and when to tell the peer: for a burst of them
 * once. Counts, and sends nothing.
 */
export class Receipts {
  #delivered = 0;
  #ahead = 0;

  /** Messages that are where they belong. */
  get delivered(): number {
    return this.#delivered;
  }

  /** A message has come, and is on its way. */
  arrive(): void {
    this.#ahead++;
  }

  /**
   * The next of them is where it belongs.
   * @returns whether that is to be told now: no other is on its way
   */
  deliver(): boolean {
    this.#delivered++;
    this.#ahead--;
    return this.#ahead === 0;
  }
}
