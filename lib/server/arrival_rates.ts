/**
 * How often an address may begin a handshake of TLS, which costs the server more than the client: at a
 * rate (`gcra.ts`), and for each site of IPv6 at a few times that, since whoever has one address of a
 * site may have all of them. Decides by address and time alone; memory is fixed.
 */

import { type Rate, RateTable } from "../base/gcra.ts";
import { LIMITS } from "../base/limits.ts";
import { isLocal, networksOf } from "./network.ts";

/** Cells of a row: tables of half a megabyte. */
const CELLS = 2 ** 14;
const SECOND_MS = 1000;
/** A wait that is shorter comes from calculating with fractions. */
const ROUNDING_MS = 1e-6;

export interface ArrivalLimits {
  /** Of one address; 0 for no bound. */
  readonly perSecond: number;
  /** For this machine. */
  readonly perSecondOnLoopback: number;
  /** How many times as many a site has. */
  readonly addressesPerSite: number;
}

const NO_LIMITS: ArrivalLimits = { perSecond: 0, perSecondOnLoopback: 0, addressesPerSite: 1 };

/** One bucket of a table. */
type Bucket = readonly [table: RateTable, name: string];

export class ArrivalRates {
  /** 32 random bytes. */
  readonly #key: Uint8Array;
  #limits = NO_LIMITS;
  /** `undefined` where there is no bound. */
  #homes: RateTable | undefined;
  #sites: RateTable | undefined;
  #local: RateTable | undefined;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** From now on; what was counted against a rate that stays is still counted. */
  configure(limits: ArrivalLimits): void {
    const { perSecond, perSecondOnLoopback, addressesPerSite } = limits;
    const before = this.#limits;
    this.#limits = limits;
    if (perSecond !== before.perSecond) this.#homes = this.#table(perSecond);
    if (perSecond * addressesPerSite !== before.perSecond * before.addressesPerSite) {
      this.#sites = this.#table(perSecond * addressesPerSite);
    }
    if (perSecondOnLoopback !== before.perSecondOnLoopback) {
      this.#local = this.#table(perSecondOnLoopback);
    }
  }

  #table(perSecond: number): RateTable | undefined {
    if (perSecond === 0) return undefined;
    const rate: Rate = {
      burst: perSecond * LIMITS.handshakeBurstSeconds,
      intervalMs: SECOND_MS / perSecond,
    };
    return new RateTable({ rate, cells: CELLS, key: this.#key });
  }

  /** Whether a handshake may begin now; then it is counted. One that may not costs nobody anything. */
  admit(address: string, nowMs: number): boolean {
    const buckets = this.#bucketsOf(address);
    if (buckets.some(([table, name]) => table.waitMs(name, nowMs) > ROUNDING_MS)) return false;
    for (const [table, name] of buckets) table.charge(name, nowMs);
    return true;
  }

  #bucketsOf(address: string): readonly Bucket[] {
    const networks = networksOf(address);
    const { home, site } = networks;
    if (isLocal(networks)) return this.#local ? [[this.#local, home]] : [];
    return [
      ...(this.#homes ? [[this.#homes, home] as const] : []),
      ...(this.#sites && site !== undefined ? [[this.#sites, site] as const] : []),
    ];
  }
}
