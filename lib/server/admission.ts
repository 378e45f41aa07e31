/**
 * Who may come in: counts sockets, handshakes and connections, of all and of each address, and says
 * whether one more is too many. Does nothing with a socket but hand it back.
 *
 * A home network of IPv6 counts as one address (`network.ts`), since whoever has one address of it
 * has them all.
 */

import { isLocal, networksOf } from "./network.ts";

/** What one address may have. */
export interface AddressLimits {
  readonly connections: number;
  /** Under way at once. */
  readonly handshakes: number;
}

export interface AdmissionLimits {
  /** Of all that are open, whatever they are. */
  readonly socketsMax: number;
  readonly handshakeMs: number;
  readonly each: AddressLimits;
  /** For this machine. */
  readonly local: AddressLimits;
}

/** The other end of a socket, as the system names it. */
export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** One socket that was let in. */
export interface Guest<Socket> {
  readonly socket: Socket;
  readonly name: string;
  readonly network: string;
  readonly isLocal: boolean;
  readonly sinceMs: number;
  state: "handshake" | "greeted" | "connected" | "gone";
}

/** What one network has. */
interface Counts {
  sockets: number;
  handshakes: number;
  connections: number;
}

/** What becomes of one whose handshake is done. */
export type Entry = "connected" | "too many" | "gone";

export class Admission<Socket> {
  #limits: AdmissionLimits;
  #sockets = 0;
  #dropped = 0;
  /** Some engines have another object for a socket once its handshake is done: found by name, then. */
  readonly #guests = new Map<string, Guest<Socket>>();
  readonly #networks = new Map<string, Counts>();
  /** The oldest first. */
  readonly #handshakes = new Set<Guest<Socket>>();

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** From now on; who is in stays. */
  configure(limits: AdmissionLimits): void {
    this.#limits = limits;
  }

  /** Sockets that are open. */
  get sockets(): number {
    return this.#sockets;
  }

  /** Sockets of which it is not known yet whether they speak TLS. */
  get handshakes(): number {
    return this.#handshakes.size;
  }

  /** Sockets that were one too many, from the start on. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Addresses that have a socket open. */
  get addresses(): number {
    return this.#networks.size;
  }

  /** A socket has been accepted; `undefined` if it is one too many. */
  arrive(peer: Peer, socket: Socket, nowMs: number): Guest<Socket> | undefined {
    const networks = networksOf(peer.address);
    const network = networks.home;
    const isHere = isLocal(networks);
    const counts = this.#networks.get(network) ?? { sockets: 0, handshakes: 0, connections: 0 };
    const { connections, handshakes } = isHere ? this.#limits.local : this.#limits.each;
    const isTooMany = this.#sockets >= this.#limits.socketsMax ||
      counts.handshakes >= handshakes ||
      // Those who are told that there are too many connections are some time about leaving.
      counts.sockets >= connections + handshakes;
    if (isTooMany) {
      this.#dropped++;
      return undefined;
    }
    const guest: Guest<Socket> = {
      ...{ socket, name: nameOf(peer), network, isLocal: isHere, sinceMs: nowMs },
      state: "handshake",
    };
    this.#sockets++;
    counts.sockets++;
    counts.handshakes++;
    this.#networks.set(network, counts);
    this.#handshakes.add(guest);
    this.#guests.set(guest.name, guest);
    return guest;
  }

  /** A handshake is done, and whoever has done it is no client of ours, or hears that we are busy. */
  greet(peer: Peer): void {
    const guest = this.#guests.get(nameOf(peer));
    if (guest?.state === "handshake") this.#endHandshake(guest);
  }

  /** A handshake is done, and a connection is wanted. */
  connect(peer: Peer): Entry {
    const guest = this.#guests.get(nameOf(peer));
    const counts = guest && this.#networks.get(guest.network);
    if (!counts) return "gone";
    // The port of one that is gone and was not heard of yet may be somebody else's.
    if (guest.state === "connected") return "connected";
    if (guest.state === "handshake") this.#endHandshake(guest);
    const { connections } = guest.isLocal ? this.#limits.local : this.#limits.each;
    if (counts.connections >= connections) return "too many";
    counts.connections++;
    guest.state = "connected";
    return "connected";
  }

  /** The socket is closed. */
  leave(guest: Guest<Socket>): void {
    const counts = this.#networks.get(guest.network);
    if (guest.state === "gone" || !counts) return;
    if (guest.state === "handshake") this.#endHandshake(guest);
    if (guest.state === "connected") counts.connections--;
    guest.state = "gone";
    this.#sockets--;
    counts.sockets--;
    if (counts.sockets === 0) this.#networks.delete(guest.network);
    // The port may be somebody else's already.
    if (this.#guests.get(guest.name) === guest) this.#guests.delete(guest.name);
  }

  /** Whose handshake has taken too long. */
  overdue(nowMs: number): readonly Socket[] {
    const late: Socket[] = [];
    for (const { socket, sinceMs } of this.#handshakes) {
      if (nowMs - sinceMs < this.#limits.handshakeMs) break;
      late.push(socket);
    }
    return late;
  }

  #endHandshake(guest: Guest<Socket>): void {
    guest.state = "greeted";
    this.#handshakes.delete(guest);
    const counts = this.#networks.get(guest.network);
    if (counts) counts.handshakes--;
  }
}

function nameOf({ address, port }: Peer): string {
  return `${address} ${port}`;
}
