/**
 * Who may come in: counts sockets, handshakes and connections, of all, of each address and of each
 * site, and says whether one more is too many, or who gives way for it. Does nothing with a socket but
 * hand it back. How often somebody comes is another matter (`arrival_rates.ts`).
 *
 * A home network of IPv6 counts as one address (`network.ts`), since whoever has one address of it
 * has them all. A site has 65,536 home networks, and may have a few times what an address has.
 *
 * Where all places are taken, nobody keeps others out by saying nothing from many addresses: the oldest
 * handshake of whoever has most under way gives way to one who has fewer, a site being one as a whole.
 */

import { isLocal, type Networks, networksOf } from "./network.ts";
import { OwnedQueues } from "./owned_queues.ts";

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
  /** How many times as much as an address a site may have. */
  readonly addressesPerSite: number;
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
  readonly networks: Networks;
  readonly sinceMs: number;
  state: "handshake" | "greeted" | "connected" | "gone";
}

/** What one network has. */
interface Counts {
  sockets: number;
  handshakes: number;
  connections: number;
}

const NOTHING: Readonly<Counts> = { sockets: 0, handshakes: 0, connections: 0 };

/** What becomes of one that has come. */
export interface Arrival<Socket> {
  /** It was let in. */
  readonly guest?: Guest<Socket>;
  /** Gave way for it, counts no more, and is to be closed. */
  readonly displaced?: Socket;
}

/** What becomes of one whose handshake is done. */
export type Entry = "connected" | "too many" | "gone";

/** The networks that count; of this machine there is only one. */
function namesOf(networks: Networks): readonly string[] {
  const { home, site } = networks;
  return site === undefined || isLocal(networks) ? [home] : [home, site];
}

/** Who has handshakes under way, where these are compared: a site as a whole. */
function ownerOf(networks: Networks): string {
  return namesOf(networks).at(-1) ?? networks.home;
}

export class Admission<Socket> {
  #limits: AdmissionLimits;
  #sockets = 0;
  #dropped = 0;
  /** Some engines have another object for a socket once its handshake is done: found by name, then. */
  readonly #guests = new Map<string, Guest<Socket>>();
  /** By name: addresses and sites. */
  readonly #counts = new Map<string, Counts>();
  /** The oldest first. */
  readonly #handshakes = new Set<Guest<Socket>>();
  /** The same, by whose they are. */
  readonly #owned = new OwnedQueues<Guest<Socket>>();

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

  /** Networks of which a socket is open: addresses, and sites. */
  get networks(): number {
    return this.#counts.size;
  }

  /** What of a network's counts is at a bound; that of a site is a few times an address'. */
  #isFull(
    networks: Networks,
    isAt: (counts: Readonly<Counts>, bounds: AddressLimits) => boolean,
  ): boolean {
    const { each, local, addressesPerSite } = this.#limits;
    const { connections, handshakes } = isLocal(networks) ? local : each;
    return namesOf(networks).some((name, at) => {
      const times = at === 0 ? 1 : addressesPerSite;
      const bounds = { connections: times * connections, handshakes: times * handshakes };
      return isAt(this.#counts.get(name) ?? NOTHING, bounds);
    });
  }

  /** Counts so much more of something, or less, for each network of a guest. */
  #count({ networks }: Guest<Socket>, what: keyof Counts, more: 1 | -1): void {
    for (const name of namesOf(networks)) {
      const counts = this.#counts.get(name) ?? { ...NOTHING };
      counts[what] += more;
      // Handshakes and connections are sockets, too.
      if (counts.sockets > 0) this.#counts.set(name, counts);
      else this.#counts.delete(name);
    }
  }

  /** A socket has been accepted: nobody is the guest if it is one too many. */
  arrive(peer: Peer, socket: Socket, nowMs: number): Arrival<Socket> {
    const networks = networksOf(peer.address);
    const hasTooMany = this.#isFull(
      networks,
      (counts, { connections, handshakes }) =>
        counts.handshakes >= handshakes ||
        // Those who are told that there are too many connections are some time about leaving.
        counts.sockets >= connections + handshakes,
    );
    const areAllTaken = this.#sockets >= this.#limits.socketsMax;
    const yielding = areAllTaken ? this.#yieldingTo(networks) : undefined;
    if (hasTooMany || (areAllTaken && !yielding)) {
      this.#dropped++;
      return {};
    }
    if (yielding) this.leave(yielding);
    const guest: Guest<Socket> = {
      ...{ socket, name: nameOf(peer), networks, sinceMs: nowMs },
      state: "handshake",
    };
    this.#sockets++;
    this.#count(guest, "sockets", 1);
    this.#count(guest, "handshakes", 1);
    this.#handshakes.add(guest);
    this.#owned.add(ownerOf(networks), guest);
    this.#guests.set(guest.name, guest);
    return yielding ? { guest, displaced: yielding.socket } : { guest };
  }

  /**
   * Whose handshake ends for one more of these networks: the oldest of whoever has most, if that is more
   * than the newcomer has with it. So nobody gains by coming again, and equals leave each other alone.
   */
  #yieldingTo(networks: Networks): Guest<Socket> | undefined {
    const { most } = this.#owned;
    return most && most.count > this.#owned.countOf(ownerOf(networks)) + 1
      ? most.oldest
      : undefined;
  }

  /** A handshake is done, and whoever has done it is no client of ours, or hears that we are busy. */
  greet(peer: Peer): void {
    const guest = this.#guests.get(nameOf(peer));
    if (guest?.state === "handshake") this.#endHandshake(guest);
  }

  /** A handshake is done, and a connection is wanted. */
  connect(peer: Peer): Entry {
    const guest = this.#guests.get(nameOf(peer));
    if (!guest) return "gone";
    // The port of one that is gone and was not heard of yet may be somebody else's.
    if (guest.state === "connected") return "connected";
    if (guest.state === "handshake") this.#endHandshake(guest);
    const isFull = this.#isFull(
      guest.networks,
      (counts, { connections }) => counts.connections >= connections,
    );
    if (isFull) return "too many";
    this.#count(guest, "connections", 1);
    guest.state = "connected";
    return "connected";
  }

  /** The socket is closed. */
  leave(guest: Guest<Socket>): void {
    if (guest.state === "gone") return;
    if (guest.state === "handshake") this.#endHandshake(guest);
    if (guest.state === "connected") this.#count(guest, "connections", -1);
    guest.state = "gone";
    this.#sockets--;
    this.#count(guest, "sockets", -1);
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
    this.#owned.delete(ownerOf(guest.networks), guest);
    this.#count(guest, "handshakes", -1);
  }
}

function nameOf({ address, port }: Peer): string {
  return `${address} ${port}`;
}
