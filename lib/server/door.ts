/**
 * Where sockets come in: which of them may stay until their handshake is done, and who gets a
 * connection then. `admission.ts` counts how many there are, `arrival_rates.ts` how often somebody
 * comes; here are the sockets, the clock and the log.
 */

import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { LIMITS } from "../base/limits.ts";
import {
  type GivenLimits,
  holdsOnLoopback,
  resolveLimits,
  type ServerLimitName,
} from "../base/server_limits.ts";
import { Admission, type AdmissionLimits, type Peer } from "./admission.ts";
import { type ArrivalLimits, ArrivalRates } from "./arrival_rates.ts";
import type { Refusal, Refused } from "./core_report.ts";
import type { EventLog } from "./log.ts";
import { MemoryWatch } from "./memory_watch.ts";

/** Why a socket is closed before its handshake is done, and not for what it says. */
export type Drop = Extract<Refusal, "sockets" | "displaced" | "rate">;

/** What the log says of them. */
const DROPS: Readonly<Record<Drop, string>> = {
  sockets: "too many at once",
  displaced: "their handshakes gave way to others, since all places were taken",
  rate: "too many of one address within a few seconds",
};

export interface DoorOptions {
  readonly log: EventLog;
  readonly connectionsMax: number;
  /** Sockets beyond those, whose handshakes are under way. */
  readonly handshakesMax: number;
  /** Bounds that are not the standard ones. */
  readonly limits: GivenLimits;
  readonly onDropped: (why: Drop) => void;
}

type Bounds = Pick<DoorOptions, "connectionsMax" | "handshakesMax" | "limits">;

function admissionLimits({ connectionsMax, handshakesMax, limits }: Bounds): AdmissionLimits {
  const all = resolveLimits(limits);
  const local = (name: ServerLimitName) => holdsOnLoopback(name, limits) ? all[name] : Infinity;
  return {
    socketsMax: connectionsMax + handshakesMax,
    handshakeMs: all.handshakeSeconds * 1000,
    each: { connections: all.connectionsPerAddress, handshakes: all.handshakesPerAddress },
    local: {
      connections: local("connectionsPerAddress"),
      handshakes: local("handshakesPerAddress"),
    },
    addressesPerSite: all.addressesPerSite,
  };
}

function arrivalLimits({ limits }: Bounds): ArrivalLimits {
  const { handshakesPerSecond: perSecond, addressesPerSite } = resolveLimits(limits);
  const isForAll = holdsOnLoopback("handshakesPerSecond", limits);
  return { perSecond, perSecondOnLoopback: isForAll ? perSecond : 0, addressesPerSite };
}

function peerOf({ remoteAddress = "", remotePort = 0 }: Socket): Peer {
  return { address: remoteAddress, port: remotePort };
}

/** Those that were dropped and are to be told of in the next line. */
interface Dropped {
  sockets: number;
  /** Of the last one. */
  address: string;
  tellMs: number;
}

export class Door {
  readonly #log: EventLog;
  readonly #onDropped: (why: Drop) => void;
  readonly #admission: Admission<Socket>;
  readonly #rates = new ArrivalRates(randomBytes(32));
  readonly #memory = new MemoryWatch({ now: () => performance.now() });
  readonly #look: ReturnType<typeof setInterval>;
  readonly #dropped = new Map<Drop, Dropped>();
  readonly #droppedSockets = new WeakSet<Socket>();
  #memoryMegabytes: number;

  constructor({ log, onDropped, ...bounds }: DoorOptions) {
    this.#log = log;
    this.#onDropped = onDropped;
    this.#admission = new Admission(admissionLimits(bounds));
    this.#rates.configure(arrivalLimits(bounds));
    this.#memoryMegabytes = resolveLimits(bounds.limits).memoryMegabytes;
    this.#look = setInterval(() => this.#lookAround(), LIMITS.handshakeLookMs);
  }

  /** From now on; who is in stays. */
  configure(bounds: Bounds): void {
    this.#admission.configure(admissionLimits(bounds));
    this.#rates.configure(arrivalLimits(bounds));
    this.#memoryMegabytes = resolveLimits(bounds.limits).memoryMegabytes;
  }

  /** Handshakes under way. */
  get handshakes(): number {
    return this.#admission.handshakes;
  }

  /** A socket was accepted. One too many is not told so: that would take a handshake. */
  arrive(socket: Socket): void {
    const nowMs = performance.now();
    const peer = peerOf(socket);
    if (!this.#rates.admit(peer.address, nowMs)) return this.#drop(socket, "rate");
    const { guest, displaced } = this.#admission.arrive(peer, socket, nowMs);
    if (displaced) this.#drop(displaced, "displaced");
    if (!guest) return this.#drop(socket, "sockets");
    socket.once("close", () => this.#admission.leave(guest));
  }

  #drop(socket: Socket, why: Drop): void {
    const dropped = this.#dropped.get(why) ?? { sockets: 0, address: "", tellMs: 0 };
    dropped.sockets++;
    dropped.address = socket.remoteAddress ?? "";
    this.#dropped.set(why, dropped);
    this.#droppedSockets.add(socket);
    this.#onDropped(why);
    socket.destroy();
  }

  /** Whether it was closed for that. Deno names another object when it tells of a failed handshake. */
  hasDropped(socket: Socket): boolean {
    return this.#droppedSockets.has(socket);
  }

  /** Its handshake is done, and it gets no connection. */
  greet(socket: Socket): void {
    this.#admission.greet(peerOf(socket));
  }

  /** Its handshake is done: it gets a connection, or hears why not. */
  enter(socket: Socket): Refused | undefined {
    if (this.#memory.isBeyond(this.#memoryMegabytes)) {
      const why = `the server is busy: it uses more than ${this.#memoryMegabytes} MB of memory`;
      return { reason: "memory", why };
    }
    return this.#admission.connect(peerOf(socket)) === "too many"
      ? { reason: "address", why: "the server is busy: too many connections from this address" }
      : undefined;
  }

  close(): void {
    clearInterval(this.#look);
  }

  /** Ends handshakes that take too long, and tells of sockets that were too many: of all in one line. */
  #lookAround(): void {
    const nowMs = performance.now();
    for (const socket of this.#admission.overdue(nowMs)) socket.destroy();
    for (const [why, dropped] of this.#dropped) {
      const { sockets, address, tellMs } = dropped;
      if (sockets === 0 || nowMs < tellMs) continue;
      dropped.sockets = 0;
      dropped.tellMs = nowMs + LIMITS.dropsTellMs;
      this.#log.log({
        level: "warning",
        event: "connections.dropped",
        message: `${sockets} connections were dropped before TLS: ${DROPS[why]}`,
        fields: { sockets, address },
      });
    }
  }
}
