/**
 * Opens a TLS connection to a server or a peer, whatever its name stands for, and says for each address
 * why there is none. Which address is tried when is for `eyeballs.ts` to say.
 */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { type ErrorKind, messageOf, PkiError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type Address, formatAddress } from "./address.ts";
import { attempt, reasonOf, type TlsIdentity } from "./attempt.ts";
import { type Failure, interleaveFamilies, race, type RaceOptions } from "./eyeballs.ts";

export type { TlsIdentity } from "./attempt.ts";

/** Addresses of one name that are tried; nobody has more than a few. */
const PLACES_MAX = 8;
/** Attempts for one connection: the last one begins after some four seconds. */
const ATTEMPTS_MAX = 16;

export interface DialOptions {
  readonly address: Address;
  /** ALPN protocol that both sides must speak. */
  readonly protocol: string;
  /** Sent as SNI; it decides nothing. */
  readonly serverName?: string;
  /** What the client shows of itself, if anything. */
  readonly identity?: TlsIdentity;
  readonly hint: string;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

export interface DialAnyOptions extends Omit<DialOptions, "address"> {
  /** In order of preference. */
  readonly addresses: readonly Address[];
  /** Whom they are of, in words of an error. */
  readonly whom: string;
}

/** A connection, and where it leads. */
export interface Dialled {
  readonly socket: TLSSocket;
  /** Which of the addresses it was. */
  readonly address: Address;
}

/**
 * Connects; the caller judges the certificate that the other side showed before it sends anything.
 * @throws {PkiError} `unreachable`, `timeout`, `protocol`, `interrupted`
 */
export async function dial({ address, ...options }: DialOptions): Promise<TLSSocket> {
  const whom = formatAddress(address);
  return (await dialAny({ ...options, addresses: [address], whom })).socket;
}

/**
 * Connects to the first of several addresses that takes the connection and speaks the protocol.
 * @throws {PkiError} as {@link dial}
 */
export async function dialAny(options: DialAnyOptions): Promise<Dialled> {
  const { addresses, whom, hint, signal } = options;
  const raced = await race({
    sources: addresses.map(findPlaces),
    dial: (place, source, signal) => {
      const { host = "" } = addresses[source] ?? {};
      const serverName = options.serverName ?? (isIP(host) ? undefined : host);
      const { protocol, identity } = options;
      return attempt({ place, protocol, serverName, identity, signal });
    },
    discard: (socket) => socket.destroy(),
    schedule: scheduleTimer,
    limitMs: LIMITS.reachMs,
    attemptsMax: ATTEMPTS_MAX,
    signal,
  });
  if ("connection" in raced) {
    return { socket: raced.connection, address: addresses[raced.source] ?? raced.place };
  }
  if (signal?.aborted) throw new PkiError("interrupted", "interrupted");
  throw explainFailures(raced.failures, { addresses, whom, hint });
}

const scheduleTimer: RaceOptions<unknown>["schedule"] = (ms, callback) => {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
};

/** What a name stands for; a number stands for itself. */
async function findPlaces({ host, port }: Address): Promise<readonly Address[]> {
  if (isIP(host) !== 0) return [{ host, port }];
  try {
    const found = await lookup(host, { all: true });
    const hosts = interleaveFamilies(found.map(({ address }) => address));
    return hosts.slice(0, PLACES_MAX).map((host) => ({ host, port }));
  } catch (cause) {
    throw new PkiError("unreachable", reasonOf(cause), { cause });
  }
}

/**
 * One error for everything that was tried: addresses with the same reason are told together.
 *
 * Its kind is `protocol` where somebody was there and spoke something else, `timeout` if nothing but
 * time ran out, and else `unreachable`.
 */
export function explainFailures(
  failures: readonly Failure[],
  { addresses, whom, hint }: Pick<DialAnyOptions, "addresses" | "whom" | "hint">,
): PkiError {
  const inOrder = failures.toSorted((a, b) => a.source - b.source);
  const byReason = Map.groupBy(inOrder, ({ error }) => messageOf(error));
  const reasons = [...byReason].map(([why, these]) => {
    const places = these.map(({ place, source }) => place ?? addresses[source])
      .filter((place) => place !== undefined)
      .map(formatAddress);
    return { why, places: [...new Set(places)].join(", ") };
  });
  const [only] = reasons;
  // Whoever named one host knows where it was, unless the host has places of different fates.
  const isPlain = addresses.length === 1 && reasons.length === 1;
  const why = reasons.length === 0
    ? "it has no address"
    : isPlain
    ? only?.why
    : reasons.map(({ why, places }) => `${why} (${places})`).join("; ");
  const kinds = failures.map(({ error }) => error instanceof PkiError ? error.kind : "unreachable");
  const kind: ErrorKind = kinds.includes("protocol")
    ? "protocol"
    : kinds.length > 0 && kinds.every((each) => each === "timeout")
    ? "timeout"
    : "unreachable";
  // Who was there and went matters more than where nobody is.
  const [own = hint] = failures.flatMap(({ error }) =>
    error instanceof PkiError && error.hint !== undefined ? [error.hint] : []
  );
  return new PkiError(kind, `cannot reach ${whom}: ${why}`, {
    hint: own,
    cause: failures[0]?.error,
  });
}
