/**
 * Who is served next, where many want something at once: one of each in turn, however much anybody
 * has asked for, and no more at work than a stated number. Decides and does nothing else; `turns.ts`
 * does the work.
 *
 * Keys may belong to a group, which has a few turns where another key has one, and gives them to its
 * keys in turn: so nobody has more for having many keys that cost nothing.
 *
 * What waits for a key is served in the order in which it came. Between its coming and its being
 * taken, for each that is taken of its own key, itself included, at most one is taken of every other
 * key that is alone, and of every group as many as it has turns; where it is in a group itself, that
 * is said of the group, of which one of each key is taken in turn.
 */

/** Who wants something. */
export interface Claimant {
  readonly key: string;
  /** Whose turns it shares; it has its own where there is none. No group has a key's name. */
  readonly group?: string | undefined;
}

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

/** Those who share turns; a key that is alone has them for itself. */
class Group<Item> {
  readonly name: string;
  /** Only keys for which something waits; the next that is served is the first. */
  readonly lines = new Map<string, Line<Item>>();
  /** Turns that are left before others have theirs. */
  left = 0;

  constructor(name: string) {
    this.name = name;
  }

  lineOf(key: string): Line<Item> {
    let line = this.lines.get(key);
    if (!line) {
      line = new Line(key);
      this.lines.set(key, line);
    }
    return line;
  }

  take(turns: number): Item | undefined {
    // Never two for one key: whoever is served goes behind all others that are here now.
    if (this.left === 0) this.left = Math.min(turns, this.lines.size);
    this.left--;
    const [line] = this.lines.values();
    const item = line?.shift();
    if (!line) return undefined;
    this.lines.delete(line.key);
    if (line.length > 0) this.lines.set(line.key, line); // as the last
    return item;
  }
}

export interface FairQueueOptions {
  /** How many may be at work at once. */
  readonly atWorkMax: number;
  /** How many turns a group has where a key that is alone has one. */
  readonly groupTurns?: number;
}

export class FairQueue<Item> {
  /** Only groups for which something waits; the next that is served is the first. */
  readonly #groups = new Map<string, Group<Item>>();
  #waiting = 0;
  #atWork = 0;
  atWorkMax: number;
  groupTurns: number;

  constructor({ atWorkMax, groupTurns = 1 }: FairQueueOptions) {
    this.atWorkMax = atWorkMax;
    this.groupTurns = groupTurns;
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

  add({ key, group: name = key }: Claimant, item: Item): void {
    let group = this.#groups.get(name);
    if (!group) {
      group = new Group(name);
      this.#groups.set(name, group);
    }
    group.lineOf(key).push(item);
    this.#waiting++;
  }

  /** What is to be done next: it is at work until {@link done}. `undefined` if nothing may be taken. */
  take(): Item | undefined {
    if (!this.canTake) return undefined;
    const [group] = this.#groups.values();
    const item = group?.take(this.groupTurns);
    if (!group) return undefined;
    this.#waiting--;
    this.#atWork++;
    if (group.lines.size === 0) {
      this.#groups.delete(group.name);
    } else if (group.left === 0 && this.#groups.size > 1) {
      this.#groups.delete(group.name); // and set again: it becomes the last
      this.#groups.set(group.name, group);
    }
    return item;
  }

  /** Something that was taken has been done. */
  done(): void {
    this.#atWork--;
  }
}
