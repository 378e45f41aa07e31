/**
 * Answers to lookups, written down once and kept ready: the log's entry, the issuer and their JSON are
 * the same each time. An answer says only what its entry says, which never changes. Whether a
 * certificate is given out at all (published, not revoked, of an account that is enabled) is not in it,
 * and is looked up each time.
 */

import { LIMITS } from "../base/limits.ts";
import type { WrittenFields } from "../protocol/messages.ts";

export class PreparedAnswers {
  /** By the log's entry; the one that was asked for last comes last. */
  readonly #answers = new Map<number, WrittenFields>();
  readonly #charactersMax: number;
  #characters = 0;

  constructor(charactersMax: number = LIMITS.preparedCharactersMax) {
    this.#charactersMax = charactersMax;
  }

  /** The answer about an entry, which is made if it is not there. */
  get(entry: number, prepare: () => WrittenFields): WrittenFields {
    const known = this.#answers.get(entry);
    if (known) {
      this.#answers.delete(entry);
      this.#answers.set(entry, known);
      return known;
    }
    const answer = prepare();
    this.#answers.set(entry, answer);
    this.#characters += answer.json.length;
    for (const [oldest, { json }] of this.#answers) {
      if (this.#characters <= this.#charactersMax) break;
      this.#answers.delete(oldest);
      this.#characters -= json.length;
    }
    return answer;
  }

  /** The CAs have changed. */
  clear(): void {
    this.#answers.clear();
    this.#characters = 0;
  }

  /** Characters of all that are kept. */
  get characters(): number {
    return this.#characters;
  }
}
