/** Values that are remembered by a name, the last ones only. */

export class Recent<V> {
  readonly #max: number;
  /** The oldest first. */
  readonly #values = new Map<string, V>();

  /** @param max so many are remembered */
  constructor(max: number) {
    this.#max = max;
  }

  get(name: string): V | undefined {
    return this.#values.get(name);
  }

  /** From now on this is the last one. */
  set(name: string, value: V): void {
    this.#values.delete(name);
    this.#values.set(name, value);
    if (this.#values.size <= this.#max) return;
    const [oldest] = this.#values.keys(); // walks over all that was deleted at the beginning
    if (oldest !== undefined) this.#values.delete(oldest);
  }
}
