/**
 * How much of what costs something for ever, or a signature, anybody may have done: entries of the log
 * that an account causes, and OCSP responses for an account or, before a login, an address. The
 * bounds are so high that people never meet them (`server_limits.ts`); an operator may set others.
 *
 * Entries are bounded for the sake of others, too: who has certificates made and revoked without end
 * makes revocation lists longer than anybody reads.
 *
 * Revoking is free: there is no more to revoke than was issued, and whoever has taken over a session
 * must not keep its owner from revoking. A new password has a bucket of its own for the same reason.
 */

import { PkiError } from "../base/errors.ts";
import { RateTable } from "../base/gcra.ts";
import { isLocal, networksOf } from "./network.ts";
import type { DirectoryLimits } from "./ports.ts";

/** Cells of a row: five tables of 512 KiB. */
const CELLS = 2 ** 14;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export type WorkRates = Pick<
  DirectoryLimits,
  | "statusesPerMinute"
  | "statusesPerMinuteOnLoopback"
  | "entriesPerHour"
  | "entriesPerHourOnLoopback"
  | "addressesPerSite"
>;

export const NO_WORK_LIMITS: WorkRates = {
  statusesPerMinute: 0,
  statusesPerMinuteOnLoopback: 0,
  entriesPerHour: 0,
  entriesPerHourOnLoopback: 0,
  addressesPerSite: 1,
};

export interface WorkLimitsOptions {
  /** 32 random bytes. */
  readonly key: Uint8Array;
  /** Milliseconds, of a clock that is not set back if there is one. */
  readonly now: () => number;
}

/** Who asks for something, and from where. */
export interface Asker {
  readonly user: string | undefined;
  readonly address: string;
}

/** Who wants something that is in the log for ever. */
export interface Writer extends Asker {
  readonly user: string;
}

/** What is charged; nothing is without a table. */
interface Bucket {
  readonly table: RateTable | undefined;
  readonly name: string;
}

export class WorkLimits {
  readonly #options: WorkLimitsOptions;
  #rates = NO_WORK_LIMITS;
  /** `undefined` where there is no bound. */
  #statuses: RateTable | undefined;
  #siteStatuses: RateTable | undefined;
  #localStatuses: RateTable | undefined;
  #entries: RateTable | undefined;
  #localEntries: RateTable | undefined;

  constructor(options: WorkLimitsOptions) {
    this.#options = options;
  }

  /** From now on; what was counted against a bound that stays is still counted. */
  configure(rates: WorkRates): void {
    const before = this.#rates;
    this.#rates = rates;
    const { statusesPerMinute, statusesPerMinuteOnLoopback } = rates;
    const { entriesPerHour, entriesPerHourOnLoopback } = rates;
    if (statusesPerMinute !== before.statusesPerMinute) {
      this.#statuses = this.#table(statusesPerMinute, MINUTE_MS);
    }
    const ofSite = ({ statusesPerMinute, addressesPerSite }: WorkRates) =>
      statusesPerMinute * addressesPerSite;
    if (ofSite(rates) !== ofSite(before)) {
      this.#siteStatuses = this.#table(ofSite(rates), MINUTE_MS);
    }
    if (statusesPerMinuteOnLoopback !== before.statusesPerMinuteOnLoopback) {
      this.#localStatuses = this.#table(statusesPerMinuteOnLoopback, MINUTE_MS);
    }
    if (entriesPerHour !== before.entriesPerHour) {
      this.#entries = this.#table(entriesPerHour, HOUR_MS);
    }
    if (entriesPerHourOnLoopback !== before.entriesPerHourOnLoopback) {
      this.#localEntries = this.#table(entriesPerHourOnLoopback, HOUR_MS);
    }
  }

  /** So many within this time, and as many at once. */
  #table(count: number, ms: number): RateTable | undefined {
    if (count === 0) return undefined;
    const rate = { burst: count, intervalMs: ms / count };
    return new RateTable({ rate, cells: CELLS, key: this.#options.key });
  }

  /** An OCSP response is to be signed. @throws {PkiError} `busy`, with the time to wait */
  chargeStatus({ user, address }: Asker): void {
    const networks = networksOf(address);
    const { home, site } = networks;
    const isHere = isLocal(networks);
    const table = isHere ? this.#localStatuses : this.#statuses;
    const isOfSite = user === undefined && site !== undefined && !isHere;
    this.#charge([
      { table, name: user ?? home }, // no id has a space
      ...(isOfSite ? [{ table: this.#siteStatuses, name: site }] : []),
    ], "cannot tell the status: too many were asked for");
  }

  /** A user wants a certificate, or to publish one. @throws {PkiError} `busy`, with the time to wait */
  chargeEntry({ user, address }: Writer): void {
    const refusal = "cannot do this: too many entries of the log by this account";
    this.#charge([{ table: this.#entriesFrom(address), name: user }], refusal);
  }

  /** A user wants another password. @throws {PkiError} `busy`, with the time to wait */
  chargePassword({ user, address }: Writer): void {
    const refusal = "cannot change the password: it was changed too often";
    this.#charge([{ table: this.#entriesFrom(address), name: `${user} password` }], refusal);
  }

  #entriesFrom(address: string): RateTable | undefined {
    return isLocal(networksOf(address)) ? this.#localEntries : this.#entries;
  }

  /** Charges all of them, or none. */
  #charge(buckets: readonly Bucket[], refusal: string): void {
    const nowMs = this.#options.now();
    const waitMs = Math.max(...buckets.map(({ table, name }) => table?.waitMs(name, nowMs) ?? 0));
    if (waitMs > 0) {
      throw new PkiError("busy", `${refusal}, try again in ${Math.ceil(waitMs / 1000)} s`);
    }
    for (const { table, name } of buckets) table?.charge(name, nowMs);
  }
}
