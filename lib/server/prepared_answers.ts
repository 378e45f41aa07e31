/**
 * Answers to lookups, written down once and kept ready: the log's entry, the issuer and their JSON are
 * the same each time. An answer says only what its entry says, which never changes. Whether a
 * certificate is given out at all (published, not revoked, of an account that is enabled) is not in it,
 * and is looked up each time.
 */

import { LIMITS } from "../base/limits.ts";
import type { WrittenFields } from "../protocol/answers.ts";

/**
 * In two generations: what is asked for goes to the fresh one, and once that is full the other is
 * dropped as a whole. To drop single ones, the oldest first, would cost more than to make an answer:
 * an engine's map walks over all that was deleted at its beginning.
 */
export class PreparedAnswers {
  /** By the log's entry. */
  #fresh = new Map<number, WrittenFields>();
  #older: ReadonlyMap<number, WrittenFields> = new Map();
  /** Of the fresh ones. */
  #characters = 0;
  readonly #charactersMax: number;

  /** @param charactersMax of all answers together, unless one is longer than half of that */
  constructor(charactersMax: number = LIMITS.preparedCharactersMax) {
    this.#charactersMax = charactersMax;
  }

  /** The answer about an entry, which is made if it is not there. */
  get(entry: number, prepare: () => WrittenFields): WrittenFields {
    const known = this.#fresh.get(entry);
    if (known) return known;
    const answer = this.#older.get(entry) ?? prepare();
    const { length } = answer.json;
    if (this.#characters + length > this.#charactersMax / 2) {
      this.#older = this.#fresh;
      this.#fresh = new Map();
      this.#characters = 0;
    }
    this.#fresh.set(entry, answer);
    this.#characters += length;
    return answer;
  }

  /** The CAs have changed. */
  clear(): void {
    this.#fresh = new Map();
    this.#older = new Map();
    this.#characters = 0;
  }

  /** Characters of all that are kept; of those in both generations twice. */
  get characters(): number {
    const older = [...this.#older.values()].reduce((sum, { json }) => sum + json.length, 0);
    return this.#characters + older;
  }
}
