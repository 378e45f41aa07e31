/**
 * How many sessions each user has open, and whether one more is too many: whoever has many addresses
 * must not fill the server with one account (`connectionsPerUser`). Those of this machine are counted
 * by themselves, as everywhere. So are logins by password and by certificate: whoever has got hold of
 * a user's key must not keep the owner from coming in with the password, and ending it.
 */

import { PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { isLocal, networksOf } from "./network.ts";
import type { DirectoryLimits } from "./ports.ts";

export type SessionBounds = Pick<
  DirectoryLimits,
  "connectionsPerUser" | "connectionsPerUserOnLoopback"
>;

export const NO_SESSION_BOUNDS: SessionBounds = {
  connectionsPerUser: 0,
  connectionsPerUserOnLoopback: 0,
};

/** A session that is about to open. */
export interface Entrant {
  readonly user: string;
  readonly address: string;
  readonly isByPassword: boolean;
}

export class UserSessions {
  #bounds: SessionBounds;
  /** Only of those who have any. */
  readonly #counts = new Map<string, number>();

  constructor(bounds: SessionBounds = NO_SESSION_BOUNDS) {
    this.#bounds = bounds;
  }

  /** From now on; who is in stays. */
  configure(bounds: SessionBounds): void {
    this.#bounds = bounds;
  }

  /** Users who have a session, by where and how. */
  get size(): number {
    return this.#counts.size;
  }

  /**
   * Counts one more session.
   * @returns to be called, once, when its connection is gone
   * @throws {PkiError} `busy`, with the time to wait
   */
  enter({ user, address, isByPassword }: Entrant): () => void {
    const isHere = isLocal(networksOf(address));
    const { connectionsPerUser, connectionsPerUserOnLoopback } = this.#bounds;
    const max = isHere ? connectionsPerUserOnLoopback : connectionsPerUser;
    const by = isByPassword ? "password" : "certificate";
    const name = `${user} ${by} ${isHere ? "here" : "away"}`; // no id has a space
    const open = this.#counts.get(name) ?? 0;
    if (max > 0 && open >= max) {
      throw new PkiError(
        "busy",
        `cannot log in: too many sessions of this account are open (${open} by ${by}), ` +
          `try again in ${LIMITS.busyRetryMs / 1000} s`,
      );
    }
    this.#counts.set(name, open + 1);
    return () => {
      const left = (this.#counts.get(name) ?? 1) - 1;
      if (left > 0) this.#counts.set(name, left);
      else this.#counts.delete(name);
    };
  }
}
