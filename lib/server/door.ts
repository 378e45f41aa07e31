/**
 * Where sockets come in: which of them may stay until their handshake is done, and who gets a
 * connection then. `admission.ts` counts; here are the sockets, the clock and the log.
 */

import type { Socket } from "node:net";
import { LIMITS } from "../base/limits.ts";
import {
  type GivenLimits,
  holdsOnLoopback,
  resolveLimits,
  type ServerLimitName,
} from "../base/server_limits.ts";
import { Admission, type AdmissionLimits, type Peer } from "./admission.ts";
import type { Refused } from "./core_report.ts";
import type { EventLog } from "./log.ts";
import { MemoryWatch } from "./memory_watch.ts";

export interface DoorOptions {
  readonly log: EventLog;
  readonly connectionsMax: number;
  /** Sockets beyond those, whose handshakes are under way. */
  readonly handshakesMax: number;
  /** Bounds that are not the standard ones. */
  readonly limits: GivenLimits;
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
  };
}

function peerOf({ remoteAddress = "", remotePort = 0 }: Socket): Peer {
  return { address: remoteAddress, port: remotePort };
}

export class Door {
  readonly #log: EventLog;
  readonly #admission: Admission<Socket>;
  readonly #memory = new MemoryWatch({ now: () => performance.now() });
  readonly #look: ReturnType<typeof setInterval>;
  #memoryMegabytes: number;
  #dropsTold = 0;
  #dropsTellMs = 0;

  constructor({ log, ...bounds }: DoorOptions) {
    this.#log = log;
    this.#admission = new Admission(admissionLimits(bounds));
    this.#memoryMegabytes = resolveLimits(bounds.limits).memoryMegabytes;
    this.#look = setInterval(() => this.#lookAround(), LIMITS.handshakeLookMs);
  }

  /** From now on; who is in stays. */
  configure(bounds: Bounds): void {
    this.#admission.configure(admissionLimits(bounds));
    this.#memoryMegabytes = resolveLimits(bounds.limits).memoryMegabytes;
  }

  /** What is counted, for whoever wants to show it. */
  get counts(): Pick<Admission<Socket>, "sockets" | "handshakes" | "dropped" | "addresses"> {
    return this.#admission;
  }

  /**
   * A socket was accepted. One too many is not told so: that would take a handshake.
   * @returns whether it may stay
   */
  arrive(socket: Socket): boolean {
    const guest = this.#admission.arrive(peerOf(socket), socket, performance.now());
    if (guest) socket.once("close", () => this.#admission.leave(guest));
    else socket.destroy();
    return guest !== undefined;
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
    const sockets = this.#admission.dropped - this.#dropsTold;
    if (sockets === 0 || nowMs < this.#dropsTellMs) return;
    this.#dropsTold += sockets;
    this.#dropsTellMs = nowMs + LIMITS.dropsTellMs;
    this.#log.log({
      level: "warning",
      event: "connections.dropped",
      message: `${sockets} connections were dropped before TLS: too many at once`,
      fields: { sockets },
    });
  }
}
