/**
 * Things that wait, by whose they are: of whoever has most the oldest is at hand. Nothing is looked
 * through to add, to take away or to find it, since whoever attacks chooses how often.
 *
 * Decides nothing: what becomes of the oldest is another matter (`admission.ts`).
 */

export class OwnedQueues<Thing> {
  /** What each owner has, the oldest first; nobody has an empty one. */
  readonly #queues = new Map<string, Set<Thing>>();
  /** Queues by how many are in them. */
  readonly #byLength = new Map<number, Set<Set<Thing>>>();
  /** How many are in the longest. */
  #longest = 0;

  /** How many somebody has. */
  countOf(owner: string): number {
    return this.#queues.get(owner)?.size ?? 0;
  }

  /** Owners of anything. */
  get owners(): number {
    return this.#queues.size;
  }

  /** How many those have who have most, and the oldest thing of one of them. */
  get most(): { readonly count: number; readonly oldest: Thing } | undefined {
    const [queue] = this.#byLength.get(this.#longest) ?? [];
    const [oldest] = queue ?? [];
    return oldest === undefined ? undefined : { count: this.#longest, oldest };
  }

  add(owner: string, thing: Thing): void {
    const queue = this.#queues.get(owner) ?? new Set();
    this.#queues.set(owner, queue);
    this.#change(queue, () => queue.add(thing));
  }

  /** Nothing happens where it is not there. */
  delete(owner: string, thing: Thing): void {
    const queue = this.#queues.get(owner);
    if (!queue?.has(thing)) return;
    this.#change(queue, () => queue.delete(thing));
    if (queue.size === 0) this.#queues.delete(owner);
  }

  /** Changes a queue by one thing, and where it is found by its length. */
  #change(queue: Set<Thing>, change: () => void): void {
    const before = this.#byLength.get(queue.size);
    before?.delete(queue);
    if (before?.size === 0) this.#byLength.delete(queue.size);
    change();
    const { size } = queue;
    if (size > 0) {
      const after = this.#byLength.get(size) ?? new Set();
      this.#byLength.set(size, after.add(queue));
    }
    // One more or less: the longest is this one, or there is another one as long as it was.
    if (size > this.#longest || !this.#byLength.has(this.#longest)) this.#longest = size;
  }
}
