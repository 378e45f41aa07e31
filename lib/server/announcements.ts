/**
 * Where users can be reached, as they have said themselves: kept in memory for as long as they asked,
 * in no log, no table and no file. Who may know of it is for `directory_session.ts` to say.
 */

import { PkiError } from "../base/errors.ts";
import type { AnswerOf } from "../protocol/answers.ts";
import type { RequestBody } from "../protocol/requests.ts";

/** Users that announce at once; with the longest addresses that is 22 MB. */
export const ANNOUNCEMENTS_MAX = 10_000;

interface Announcement {
  readonly addresses: readonly string[];
  /** By the clock of the constructor. */
  readonly expiresMs: number;
  /** The certificate that opened the session in which it was said; `undefined` for a password. */
  readonly serial: string | undefined;
}

export class Announcements {
  readonly #kept = new Map<string, Announcement>();
  readonly #now: () => number;
  readonly #isEnabled: (id: string) => boolean;

  constructor({ now, isEnabled }: {
    /** A clock that nobody sets back, in milliseconds. */
    readonly now: () => number;
    /** Whether there is such an account and it may log in. */
    readonly isEnabled: (id: string) => boolean;
  }) {
    this.#now = now;
    this.#isEnabled = isEnabled;
  }

  /**
   * Takes the place of what this user said before; no addresses withdraw it.
   * @throws {PkiError} `busy` if too many others announce
   */
  announce(
    id: string,
    { addresses, seconds }: RequestBody<"ANNOUNCE">,
    serial: string | undefined,
  ): void {
    this.#kept.delete(id);
    if (addresses.length === 0) return;
    if (this.#kept.size >= ANNOUNCEMENTS_MAX) this.#sweep();
    if (this.#kept.size >= ANNOUNCEMENTS_MAX) {
      throw new PkiError("busy", "cannot announce: too many others do, try again later");
    }
    this.#kept.set(id, { addresses, expiresMs: this.#now() + seconds * 1000, serial });
  }

  #sweep(): void {
    const nowMs = this.#now();
    for (const [id, { expiresMs }] of this.#kept) {
      if (expiresMs <= nowMs) this.#kept.delete(id);
    }
  }

  /**
   * Where a user said to be, and for how long still, in seconds rounded up.
   * @param checkKnown throws for an id of which nobody is told that it announces nothing
   */
  locate(id: string, checkKnown: (id: string) => void): AnswerOf<"LOCATE"> {
    const found = this.find(id);
    if (!found) checkKnown(id);
    return found ?? { addresses: [], seconds: 0 };
  }

  /** What still counts of what a user said. */
  find(id: string): AnswerOf<"LOCATE"> | undefined {
    const found = this.#kept.get(id);
    if (!found) return undefined;
    const leftMs = found.expiresMs - this.#now();
    if (leftMs > 0 && this.#isEnabled(id)) {
      return { addresses: [...found.addresses], seconds: Math.ceil(leftMs / 1000) };
    }
    this.#kept.delete(id);
    return undefined;
  }

  /** The user is disabled or deleted. */
  forget(id: string): void {
    this.#kept.delete(id);
  }

  /** Certificates of this user were revoked: what was said with one of them does not count. */
  forgetRevoked(id: string, serials: ReadonlySet<string>): void {
    const found = this.#kept.get(id);
    if (found && (found.serial === undefined || serials.has(found.serial))) this.#kept.delete(id);
  }
}
