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
    const [oldest] = this.#values.keys();
    if (this.#values.size > this.#max && oldest !== undefined) this.#values.delete(oldest);
  }
}
