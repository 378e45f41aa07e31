/**
 * How often passwords may be guessed. A guess is known from the answer to `LOGIN` alone, so that is what
 * is charged, and taken back when the login ends well; what is over a limit is refused before any work
 * is done for it.
 *
 * There are two kinds of attempts. One comes from a network that the account logs in from: it has a
 * bucket for this account and network alone, so that nothing that is done elsewhere, or to other
 * accounts, keeps the owner out. Any other attempt is charged to the account, for all strangers
 * together, and to its address. Both have the same rate and the same words, and an id that nobody has
 * is treated as one that somebody has: nothing here asks whether there is an account.
 *
 * Memory is fixed (`gcra.ts`, `known_networks.ts`) and all of it is forgotten when the server stops;
 * where an account was registered is known from the tables.
 */

import { PkiError } from "../base/errors.ts";
import { type Charge, type Rate, RateTable } from "../base/gcra.ts";
import { LIMITS } from "../base/limits.ts";
import { KnownNetworks } from "./known_networks.ts";
import { networksOf } from "./network.ts";

/** Cells of a row. A million attempts on a million names leave room in every cell of the first. */
const ACCOUNT_CELLS = 2 ** 18;
const OTHER_CELLS = 2 ** 16;

const GUESSES: Rate = { burst: LIMITS.guessesAtOnce, intervalMs: LIMITS.guessIntervalMs };
const ADDRESS_GUESSES: Rate = {
  burst: LIMITS.addressGuessesAtOnce,
  intervalMs: LIMITS.addressGuessIntervalMs,
};
const NETWORK_GUESSES: Rate = {
  burst: LIMITS.networkGuessesAtOnce,
  intervalMs: LIMITS.networkGuessIntervalMs,
};
const REGISTRATIONS: Rate = {
  burst: LIMITS.registrationsAtOnce,
  intervalMs: LIMITS.registrationIntervalMs,
};
const NETWORK_REGISTRATIONS: Rate = {
  burst: LIMITS.networkRegistrationsAtOnce,
  intervalMs: LIMITS.networkRegistrationIntervalMs,
};

/** Who wants to log in, and from where. */
export interface LoginFrom {
  readonly id: string;
  /** Of the other end of the connection. */
  readonly address: string;
  /** Where the account's password was chosen, if there is such an account and this is known. */
  readonly registeredFrom?: string | null | undefined;
}

/** One bucket, and how a refusal by it begins. */
interface Bucket {
  readonly table: RateTable;
  readonly name: string;
  readonly refusal: string;
}

/** A login that was begun and has been charged. */
export interface LoginAttempt {
  readonly id: string;
  readonly network: string;
  readonly charges: readonly (readonly [RateTable, Charge])[];
}

export interface GuessLimitsOptions {
  /** 32 random bytes. */
  readonly key: Uint8Array;
  /** Milliseconds, of a clock that is not set back if there is one. */
  readonly now: () => number;
}

export class GuessLimits {
  readonly #now: () => number;
  readonly #known = new KnownNetworks();
  readonly #byOwners: RateTable;
  readonly #byStrangers: RateTable;
  readonly #byAddress: RateTable;
  readonly #byNetwork: RateTable;
  readonly #registrations: RateTable;
  readonly #networkRegistrations: RateTable;

  constructor({ key, now }: GuessLimitsOptions) {
    this.#now = now;
    const table = (rate: Rate, cells = OTHER_CELLS) => new RateTable({ rate, cells, key });
    this.#byOwners = table(GUESSES);
    this.#byStrangers = table(GUESSES, ACCOUNT_CELLS);
    this.#byAddress = table(ADDRESS_GUESSES);
    this.#byNetwork = table(NETWORK_GUESSES);
    this.#registrations = table(REGISTRATIONS);
    this.#networkRegistrations = table(NETWORK_REGISTRATIONS);
  }

  /** What all of it takes for counting, whatever it has seen. */
  get tableBytes(): number {
    return [
      this.#byOwners,
      this.#byStrangers,
      this.#byAddress,
      this.#byNetwork,
      this.#registrations,
      this.#networkRegistrations,
    ].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** How many accounts' networks are remembered. */
  get knownAccounts(): number {
    return this.#known.accounts;
  }

  /**
   * Charges a login that begins.
   * @throws {PkiError} `busy`, with the time to wait, if it is one too many; then nothing is charged
   */
  startLogin({ id, address, registeredFrom }: LoginFrom): LoginAttempt {
    const { home, site } = networksOf(address);
    // With the same work for an id that nobody has; no connection comes from the address that stands in.
    const registered = networksOf(registeredFrom ?? "0.0.0.0").home;
    const isKnown = this.#known.has(id, home) || registered === home;
    const buckets = this.#bucketsOf({ id, home, site, isKnown });
    const nowMs = this.#now();
    this.#checkRoom(buckets, nowMs);
    return {
      id,
      network: home,
      charges: buckets.map(({ table, name }) => [table, table.charge(name, nowMs)]),
    };
  }

  /** The password was right: it was no guess, and this is where the account logs in from. */
  finishLogin({ id, network, charges }: LoginAttempt): void {
    const nowMs = this.#now();
    for (const [table, charge] of charges) table.refund(charge, nowMs);
    this.#known.remember(id, network);
  }

  /** Somebody has logged in from there, with a password or without. */
  remember(id: string, address: string): void {
    this.#known.remember(id, networksOf(address).home);
  }

  /** The account was deleted: where its owner was is nobody's business any more. */
  forget(id: string): void {
    this.#known.forget(id);
  }

  /** Charges a registration. @throws {PkiError} `busy`, with the time to wait */
  startRegistration(address: string): void {
    const { home, site } = networksOf(address);
    const refusal = "cannot register: too many registrations from this address";
    const buckets = [
      { table: this.#registrations, name: home, refusal },
      ...(site === undefined ? [] : [{ table: this.#networkRegistrations, name: site, refusal }]),
    ];
    const nowMs = this.#now();
    this.#checkRoom(buckets, nowMs);
    for (const { table, name } of buckets) table.charge(name, nowMs);
  }

  #bucketsOf(
    { id, home, site, isKnown }: {
      readonly id: string;
      readonly home: string;
      readonly site: string | undefined;
      readonly isKnown: boolean;
    },
  ): readonly Bucket[] {
    const forAccount = "cannot log in: too many attempts for this account from here";
    const fromAddress = "cannot log in: too many attempts from this address";
    // No id has a space.
    if (isKnown) {
      return [{ table: this.#byOwners, name: `${id} ${home}`, refusal: forAccount }];
    }
    return [
      { table: this.#byStrangers, name: id, refusal: forAccount },
      { table: this.#byAddress, name: home, refusal: fromAddress },
      ...(site === undefined ? [] : [{ table: this.#byNetwork, name: site, refusal: fromAddress }]),
    ];
  }

  /** Says how long to wait for the bucket that takes longest. @throws {PkiError} `busy` */
  #checkRoom(buckets: readonly Bucket[], nowMs: number): void {
    let longestMs = 0;
    let why = "";
    for (const { table, name, refusal } of buckets) {
      const waitMs = table.waitMs(name, nowMs);
      if (waitMs > longestMs) [longestMs, why] = [waitMs, refusal];
    }
    if (longestMs > 0) {
      throw new PkiError("busy", `${why}, try again in ${Math.ceil(longestMs / 1000)} s`);
    }
  }
}
