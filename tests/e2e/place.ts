/**
 * Addresses of the loopback network for what tests play themselves. Who answered at an address is
 * remembered in a home, and the system gives a port out again: two that listen on the same address
 * one after the other may be at the same place, and the second is then taken for the first.
 */

import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";

/** From 127.64.0.1 to 127.127.255.254, without those that end in .0 and .255. */
const ADDRESSES = 64 * 256 * 254;

// Test files run at a time, in one process or in several: each begins somewhere else.
let last = randomInt(ADDRESSES);

/** An address of 127.0.0.0/8 that nobody had before, and never the one of `localhost`. */
export function ownAddress(): string {
  last = (last + 1) % ADDRESSES;
  const network = Math.floor(last / 254);
  return `127.${64 + (network >> 8)}.${network & 0xff}.${1 + last % 254}`;
}

/** Lets a server listen at an address of its own, and gives `host:port` of it. */
export async function listenAlone(server: Server): Promise<string> {
  server.listen(0, ownAddress());
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  return `${address}:${port}`;
}
