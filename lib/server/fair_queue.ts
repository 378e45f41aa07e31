/**
 * Who is served next, where many want something at once: one of each in turn, however much anybody
 * has asked for, and no more at work than a stated number. Decides and does nothing else; `turns.ts`
 * does the work.
 *
 * What waits for a key is served in the order in which it came. Between its coming and its being
 * taken, of every other key at most one more is taken than of its own.
 */

/** What waits for one key. Taken from the front without moving the rest. */
class Line<Item> {
  readonly key: string;
  #items: Item[] = [];
  #head = 0;

  constructor(key: string) {
    this.key = key;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head];
    this.#head++;
    // Half of it is behind us: moving the other half costs each item one move in all.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

export class FairQueue<Item> {
  /** Only keys for which something waits; the next that is served is the first. */
  readonly #lines = new Map<string, Line<Item>>();
  #waiting = 0;
  #atWork = 0;
  /** How many may be at work at once. */
  atWorkMax: number;

  constructor({ atWorkMax }: { readonly atWorkMax: number }) {
    this.atWorkMax = atWorkMax;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get atWork(): number {
    return this.#atWork;
  }

  /** Whether {@link take} would give something. */
  get canTake(): boolean {
    return this.#waiting > 0 && this.#atWork < this.atWorkMax;
  }

  add(key: string, item: Item): void {
    let line = this.#lines.get(key);
    if (!line) {
      line = new Line(key);
      this.#lines.set(key, line);
    }
    line.push(item);
    this.#waiting++;
  }

  /** What is to be done next: it is at work until {@link done}. `undefined` if nothing may be taken. */
  take(): Item | undefined {
    if (!this.canTake) return undefined;
    const [line] = this.#lines.values();
    const item = line?.shift();
    if (!line) return undefined;
    this.#waiting--;
    this.#atWork++;
    if (line.length === 0) {
      this.#lines.delete(line.key);
    } else if (this.#lines.size > 1) {
      this.#lines.delete(line.key); // and set again: it becomes the last
      this.#lines.set(line.key, line);
    }
    return item;
  }

  /** Something that was taken has been done. */
  done(): void {
    this.#atWork--;
  }
}
