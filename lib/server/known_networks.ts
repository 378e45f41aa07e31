/**
 * Where accounts log in from: the last few networks of each of the accounts that logged in last, in
 * bounded memory. Nothing is remembered of an account that does not exist, or of a login that failed,
 * so only somebody with thousands of accounts could have others forgotten.
 */

import { LIMITS } from "../base/limits.ts";

export interface KnownNetworksLimits {
  readonly accountsMax: number;
  readonly networksMax: number;
}

export class KnownNetworks {
  readonly #limits: KnownNetworksLimits;
  /** By id; the last that logged in is the last, of the accounts and of each one's networks. */
  readonly #networks = new Map<string, readonly string[]>();

  constructor(
    limits: KnownNetworksLimits = {
      accountsMax: LIMITS.knownAccountsMax,
      networksMax: LIMITS.knownAddressesMax,
    },
  ) {
    this.#limits = limits;
  }

  get accounts(): number {
    return this.#networks.size;
  }

  has(id: string, network: string): boolean {
    return this.#networks.get(id)?.includes(network) ?? false;
  }

  /** After a login that went well. */
  remember(id: string, network: string): void {
    const before = this.#networks.get(id) ?? [];
    this.#networks.delete(id); // and set again: it becomes the last
    const others = before.filter((other) => other !== network);
    this.#networks.set(id, [...others, network].slice(-this.#limits.networksMax));
    const [oldest] = this.#networks.keys();
    if (this.#networks.size > this.#limits.accountsMax && oldest !== undefined) {
      this.#networks.delete(oldest);
    }
  }

  forget(id: string): void {
    this.#networks.delete(id);
  }
}
